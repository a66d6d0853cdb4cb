"""Judges image features by small heads trained on the training photos: recall and caption CIDEr on dev photos.

The decoder is stood in for by the memory sentence nearest to the projected vector (`consensus`), which needs no
training and ranks encoders as the decoder does; `retrieval` is the sentence nearest to the photo itself.
"""

import argparse
import json
import os
import re
import time

import numpy as np
import torch
from pycocoevalcap.cider.cider import Cider
from torch import nn
from torch.nn import functional as F

from photos import COCO_SETS, read_photos

TAUS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1)


class ImageHead(nn.Module):
    """Standardised features to the shared space: a linear map plus, with `hidden`, a small perceptron."""

    def __init__(self, inputs, width, hidden, dropout):
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.up = nn.Linear(inputs, hidden) if hidden else None
        self.down = nn.Linear(hidden, width) if hidden else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.dropout(x)
        y = self.linear(x)
        if self.up:
            y = y + self.down(self.dropout(F.gelu(self.up(x))))
        return F.normalize(y, dim=-1)


class TextHead(nn.Module):
    def __init__(self, width, start=None):
        super().__init__()
        self.linear = nn.Linear(384, width)

    def forward(self, t):
        return F.normalize(self.linear(t), dim=-1)


class Data:
    """Photos, features per view, caption vectors, and the memory with dev and test sentences taken out."""

    def __init__(self, args):
        pairs = os.path.join(args.data, "pairs")
        self.photos = read_photos(pairs, cache=os.path.join(args.texts, "fingerprints.npy"))
        with open(os.path.join(args.texts, "pairs.txt"), encoding="utf-8") as lines:
            self.sentences = [line.rstrip("\n") for line in lines]
        self.vectors = torch.from_numpy(np.load(os.path.join(args.texts, "pairs.npy")).astype(np.float32))
        row = {s: i for i, s in enumerate(self.sentences)}
        weak = ("visual7w_qa", "imagenet1k_sample")
        self.captions = [[row[c] for c in p["captions"]] for p in self.photos]
        good = [i for i, p in enumerate(self.photos) if p["role"] == "train" and p["set"] not in weak]
        self.train = good if args.all_sets else [i for i in good if self.photos[i]["set"] in COCO_SETS]
        self.dev = [i for i, p in enumerate(self.photos) if p["role"] == "dev"]
        judged = {plain(c) for p in self.photos if p["role"] in ("dev", "test") for c in p["captions"]}
        memory = sorted({c for i in good if self.photos[i]["set"] in COCO_SETS for c in self.captions[i]})
        self.memory = [c for c in memory if plain(self.sentences[c]) not in judged]


def plain(sentence):
    return " ".join(re.findall(r"[a-z0-9']+", sentence.lower()))


def cider(captions, references):
    scores = Cider().compute_score({i: [plain(r) for r in refs] for i, refs in enumerate(references)}, {i: [plain(c)] for i, c in enumerate(captions)})
    return 100 * scores[0]


def fit(data, features, args):
    """`features [views, photos, inputs]`, standardised on training photos. Returns the heads, in evaluation mode."""
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)
    image, text = ImageHead(features.shape[-1], args.width, args.hidden, args.dropout), TextHead(args.width)
    scale = nn.Parameter(torch.tensor(np.log(1 / args.temperature), dtype=torch.float32))
    decayed = [p for m in (image, text) for p in m.parameters() if p.ndim > 1]
    plain_ = [p for m in (image, text) for p in m.parameters() if p.ndim == 1] + [scale]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": plain_, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    steps = len(data.train) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, args.epochs * steps, pct_start=0.1)
    memory = torch.tensor(data.memory)
    for _ in range(args.epochs):
        order = random.permutation(data.train)
        for step in range(steps):
            rows = order[step * args.batch : (step + 1) * args.batch]
            views = random.integers(0, len(features), len(rows))
            chosen = [data.captions[i][random.integers(len(data.captions[i]))] for i in rows]
            x = features[views, rows]
            if args.jitter:
                x = x + args.jitter * torch.randn_like(x)
            v = image(x)
            t = text(data.vectors[chosen] + args.text_noise * torch.randn(len(rows), 384) / 384**0.5)
            scores = v @ t.T * scale.exp()
            target = torch.arange(len(rows))
            backward = F.cross_entropy(scores.T, target, label_smoothing=args.smoothing)
            if args.negatives:
                extra = text(data.vectors[memory[torch.randint(len(memory), (args.negatives,))]])
                scores = torch.cat([scores, v @ extra.T * scale.exp()], 1)
            loss = (F.cross_entropy(scores, target, label_smoothing=args.smoothing) + backward) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            scale.data.clamp_(max=np.log(100))
    return image.eval(), text.eval(), scale.exp().item()


@torch.no_grad()
def judge(data, features, image, text, rows, tau_list=TAUS):
    v = F.normalize(sum(image(features[k, rows]) for k in range(len(features))), dim=-1)
    owners = [(j, c) for j, i in enumerate(rows) for c in data.captions[i][:5]]
    t = text(data.vectors[[c for _, c in owners]])
    owner = torch.tensor([j for j, _ in owners])
    scores = v @ t.T
    to_text = owner[scores.argsort(1, descending=True)[:, :10]] == torch.arange(len(rows))[:, None]
    to_image = scores.T.argsort(1, descending=True)[:, :10] == owner[:, None]
    result = {"i2t": [round(to_text[:, :k].any(1).float().mean().item(), 3) for k in (1, 5, 10)]}
    result["t2i"] = [round(to_image[:, :k].any(1).float().mean().item(), 3) for k in (1, 5, 10)]
    references = [data.photos[i]["captions"] for i in rows]
    m = text(data.vectors[data.memory])
    scores = v @ m.T
    say = lambda best: cider([data.sentences[data.memory[k]] for k in best.tolist()], references)
    result["retrieval"] = round(say(scores.argmax(1)), 1)
    consensus = {}
    for tau in tau_list:
        p = F.normalize((scores / tau).softmax(1) @ m, dim=-1)
        consensus[tau] = round(say((p @ m.T).argmax(1)), 1)
    result["consensus"] = consensus
    result["best"] = max(consensus.values())
    return result


def add_arguments(parser):
    parser.add_argument("--data", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--temperature", type=float, default=0.067)
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--text-noise", type=float, default=0.0)
    parser.add_argument("--negatives", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all-sets", action="store_true")
    return parser


def standardise(features, train):
    """`[views, photos, inputs]` to mean 0, deviation 1 over the training photos' views."""
    seen = features[:, train].reshape(-1, features.shape[-1])
    return (features - seen.mean(0)) / (seen.std(0) + 1e-3)


def main():
    parser = add_arguments(argparse.ArgumentParser())
    parser.add_argument("--features", nargs="+", required=True, help=".npy files [views, photos, inputs], concatenated")
    parser.add_argument("--views", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(args)
    features = np.concatenate([np.load(f, mmap_mode="r")[: args.views].astype(np.float32) for f in args.features], -1)
    features = torch.from_numpy(standardise(features, data.train))
    begun = time.time()
    image, text, scale = fit(data, features, args)
    line = {"scale": round(scale, 1), "seconds": round(time.time() - begun)} | judge(data, features, image, text, data.dev)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
