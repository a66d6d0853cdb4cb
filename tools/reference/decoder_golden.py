#!/usr/bin/env python3
"""Writes the golden files of the decoder: logits, loss, every gradient, ten optimizer steps, greedy ids.

The reference is Hugging Face's GPT2LMHeadModel under the DeCap configuration, fed with
`inputs_embeds` as dhg-wei/DeCap's train.py and inference_decap.ipynb do it. Weights are seeded
random numbers; biases and layer norms are random too, so that a missing one shows.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6
    python tools/reference/decoder_golden.py                       # crates/decap/tests/data/decoder_tiny.safetensors
    python tools/reference/decoder_golden.py --full --out DIR      # DIR/decoder_full.safetensors, 600 MB
    DECAP_GOLDEN=DIR cargo test --release -p decap decoder         # then reads the full one as well
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

TINY = dict(vocabulary_size=61, prefix_width=16, width=24, num_layers=2, num_heads=3, num_positions=12)
FULL = dict(vocabulary_size=50257, prefix_width=512, width=768, num_layers=4, num_heads=4, num_positions=1024)
STEPS = 10


class DeCap(nn.Module):
    """The model of train.py: one Linear makes the prefix, GPT-2 reads it as its first position."""

    def __init__(self, shape):
        super().__init__()
        self.decoder = GPT2LMHeadModel(GPT2Config(
            vocab_size=shape["vocabulary_size"], n_positions=shape["num_positions"], n_embd=shape["width"],
            n_layer=shape["num_layers"], n_head=shape["num_heads"], activation_function="gelu_new",
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager",
        ))
        self.clip_project = nn.Module()
        self.clip_project.model = nn.Sequential(nn.Linear(shape["prefix_width"], shape["width"]))

    def forward(self, prefixes, tokens):
        text = self.decoder.transformer.wte(tokens)
        prefix = self.clip_project.model(prefixes)[:, None, :]
        return self.decoder(inputs_embeds=torch.cat([prefix, text], dim=1)).logits


def seeded_model(shape, scale):
    torch.manual_seed(20)
    model = DeCap(shape)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(scale)
    return model


def batches(shape, start, end, size, length):
    """Unit prefixes [STEPS, size, prefix_width] and token ids [STEPS, size, length], padded with 0."""
    generator = torch.Generator().manual_seed(7)
    prefixes = torch.randn(STEPS, size, shape["prefix_width"], generator=generator)
    prefixes = prefixes / prefixes.norm(dim=-1, keepdim=True)
    tokens = torch.zeros(STEPS, size, length, dtype=torch.int64)
    for step in range(STEPS):
        for row in range(size):
            words = 2 + int(torch.randint(0, length - 1, (1,), generator=generator))
            body = torch.randint(1, start, (words,), generator=generator)
            if row == 1:
                body[words // 2] = 0  # "!" of CLIP's vocabulary: read as input, ignored as target
            sentence = torch.cat([torch.tensor([start]), body, torch.tensor([end])])[:length]
            tokens[step, row, : len(sentence)] = sentence
    return prefixes, tokens


def loss_of(model, prefixes, tokens):
    logits = model(prefixes, tokens)[:, :-1]
    loss = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    return loss(logits.reshape(-1, logits.shape[-1]), tokens.flatten())


class HuggingFaceAdamW(torch.optim.Optimizer):
    """transformers.AdamW as it was until 4.x: epsilon is added to the uncorrected root of v."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state.update(step=0, m=torch.zeros_like(parameter), v=torch.zeros_like(parameter))
                state["step"] += 1
                state["m"].mul_(0.9).add_(parameter.grad, alpha=0.1)
                state["v"].mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=0.001)
                denominator = state["v"].sqrt().add_(1e-6)
                step_size = group["lr"] * (1 - 0.999 ** state["step"]) ** 0.5 / (1 - 0.9 ** state["step"])
                parameter.addcdiv_(state["m"], denominator, value=-step_size)


def ten_losses(model, state, prefixes, tokens, optimizer_of, max_norm=None):
    model.load_state_dict(state)
    optimizer = optimizer_of(model.parameters())
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, prefixes[step], tokens[step])
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm or float("inf"))))
        optimizer.step()
        losses.append(float(loss))
    return torch.tensor(losses), torch.tensor(norms)


@torch.no_grad()
def greedy(model, prefix, end, max_steps):
    """The notebook's loop: no cache, argmax, the chosen id's embedding is appended."""
    embeddings = model.clip_project.model(prefix)[None, None]
    ids = []
    for _ in range(max_steps):
        following = int(model.decoder(inputs_embeds=embeddings).logits[0, -1].argmax())
        ids.append(following)
        if following == end:
            break
        embeddings = torch.cat([embeddings, model.decoder.transformer.wte(torch.tensor([[following]]))], dim=1)
    return torch.tensor(ids + [-1] * (max_steps - len(ids)), dtype=torch.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the reference's size instead of the tiny one")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "crates/decap/tests/data")
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)

    name = "full" if arguments.full else "tiny"
    shape = FULL if arguments.full else TINY
    start, end = (49406, 49407) if arguments.full else (59, 60)
    learning_rate = 1e-4 if arguments.full else 1e-2
    prefixes, tokens = batches(shape, start, end, size=4, length=20 if arguments.full else 8)
    model = seeded_model(shape, scale=1.0 if arguments.full else 8.0)
    state = {key: value.clone() for key, value in model.state_dict().items()}

    loss = loss_of(model, prefixes[0], tokens[0])
    loss.backward()
    golden = {"prefixes": prefixes, "tokens": tokens.int(), "loss": loss.detach().reshape(1)}
    golden["logits"] = model(prefixes[0], tokens[0]).detach()
    for key, parameter in model.named_parameters():
        golden[f"weights.{key}"] = parameter.detach().clone()
        golden[f"gradients.{key}"] = parameter.grad.clone()

    torch_adamw = lambda decay: lambda p: torch.optim.AdamW(p, lr=learning_rate, eps=1e-6, weight_decay=decay)
    hugging_face = lambda p: HuggingFaceAdamW(p, learning_rate)
    golden["losses.adamw"], golden["norms.adamw"] = ten_losses(model, state, prefixes, tokens, torch_adamw(0.0))
    golden["losses.clipped"], golden["norms.clipped"] = ten_losses(model, state, prefixes, tokens, torch_adamw(0.1), 0.5)
    golden["losses.hugging_face"], _ = ten_losses(model, state, prefixes, tokens, hugging_face)

    # Decoding is tested with the weights as they were made: the steps above are undone.
    model.load_state_dict(state)
    max_steps = 30 if arguments.full else 11
    golden["greedy"] = torch.stack([greedy(model, prefix, end, max_steps) for prefix in prefixes[0]])

    config = dict(shape, layer_norm_epsilon=1e-5)
    facts = dict(config=config, start=start, end=end, learning_rate=learning_rate, torch=torch.__version__)
    path = arguments.out / f"decoder_{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in golden.items()}, path, metadata={"golden": json.dumps(facts)})
    print(path, path.stat().st_size, "bytes; loss", float(loss), "steps", golden["losses.adamw"].tolist())
    print("greedy", golden["greedy"].tolist())


if __name__ == "__main__":
    main()
