"""CLIP ViT-B/32 and DeCap's decoder in PyTorch: the shapes that `decap bench` times, random weights."""

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 50_257  # rows of the reference decoder's table
EMBEDDING = 512


class Block(nn.Module):
    def __init__(self, width, heads, activation):
        super().__init__()
        self.heads, self.activation = heads, activation
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.hidden_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal, cache=None):
        batch, tokens, width = x.shape
        shape = (batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.norm_1(x)).view(shape).permute(2, 0, 3, 1, 4)
        if cache is not None:
            if cache[0] is not None:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[0], cache[1] = k, v
            causal = causal and tokens > 1
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width))
        hidden = self.hidden(self.norm_2(x))
        if self.activation == "gelu_new":
            hidden = F.gelu(hidden, approximate="tanh")
        else:
            hidden = hidden * torch.sigmoid(1.702 * hidden)
        return x + self.hidden_out(hidden)


class ImageTower(nn.Module):
    def __init__(self, width=768, layers=12, heads=12):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 32, 32, bias=False)
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(50, width) * 0.02)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, "quick_gelu") for _ in range(layers))
        self.projection = nn.Parameter(torch.randn(width, EMBEDDING) * 0.02)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        token = self.class_token.to(x.dtype).expand(x.shape[0], 1, -1)
        x = self.before(torch.cat([token, x], 1) + self.positions.to(x.dtype))
        for block in self.blocks:
            x = block(x, False)
        return self.after(x[:, 0]) @ self.projection


class TextTower(nn.Module):
    def __init__(self, width=512, layers=12, heads=8):
        super().__init__()
        self.tokens = nn.Embedding(49_408, width)
        self.positions = nn.Parameter(torch.randn(77, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, "quick_gelu") for _ in range(layers))
        self.after = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.randn(width, EMBEDDING) * 0.02)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, True)
        ends = ids.argmax(-1)
        return self.after(x)[torch.arange(x.shape[0]), ends] @ self.projection


class Decoder(nn.Module):
    def __init__(self, width=768, layers=4, heads=4):
        super().__init__()
        self.prefix = nn.Linear(EMBEDDING, width)
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(1024, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, "gelu_new") for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def body(self, x, first=0, caches=None):
        x = x + self.positions.weight[first : first + x.shape[1]]
        for index, block in enumerate(self.blocks):
            x = block(x, True, caches[index] if caches else None)
        return self.norm(x)

    def logits(self, x):
        return F.linear(x, self.tokens.weight)

    def generate(self, prefixes, tokens, cached):
        """Greedy; every caption is `tokens` long, as random weights do not end one."""
        x = self.prefix(prefixes)[:, None]
        caches = [[None, None] for _ in self.blocks] if cached else None
        written = []
        for place in range(tokens):
            body = self.body(x, place, caches) if cached else self.body(x)
            token = self.logits(body[:, -1]).argmax(-1)
            written.append(token)
            new = self.tokens(token)[:, None]
            x = new if cached else torch.cat([x, new], 1)
        return torch.stack(written, 1)
