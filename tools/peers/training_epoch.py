"""What an epoch over 100,000 captions takes: `decap train` with its default preset against the reference's loop.

usage: python tools/peers/training_epoch.py CAPTIONS.txt --out bench/runs/DATE-MACHINE [--decap target/release/decap]
                                            [--captions 100000] [--steps 10]

Both use a CLIP ViT-B/32 of random weights. decap runs to the end: tokens, text embeddings, one epoch, memory. The reference
(dhg-wei/DeCap, train.py) runs its text tower on 77 tokens in every step and trains the decoder of 768 x 4 on 50,257
tokens, here in PyTorch f32, 64 captions a step; its time is extrapolated from --steps steps after two that do not count.
The two decoders differ: the default preset's is smaller, which is part of what is compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from networks import EMBEDDING, VOCABULARY, Decoder, TextTower

HERE = Path(__file__).resolve().parent


def reference_step_seconds(steps):
    torch.set_num_threads(2)
    torch.manual_seed(0)
    tower, decoder = TextTower().eval(), Decoder()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-5, eps=1e-6, weight_decay=0, fused=True)
    ids = torch.zeros(64, 77, dtype=torch.long)
    ids[:, :13] = torch.randint(1, 49_000, (64, 13))
    ids[:, 13] = 49_407
    targets = torch.randint(1, VOCABULARY, (64, 20))
    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        with torch.no_grad():
            prefixes = F.normalize(tower(ids), dim=-1)
        optimizer.zero_grad(set_to_none=True)
        read = torch.cat([decoder.prefix(prefixes)[:, None], decoder.tokens(targets[:, :-1])], 1)
        logits = decoder.logits(decoder.body(read))
        F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1), label_smoothing=0.1).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def decap_seconds(decap, captions, count, folder):
    from transformers import CLIPConfig, CLIPModel

    encoder, text = folder / "clip", folder / "captions.txt"
    CLIPModel(CLIPConfig()).save_pretrained(encoder)
    lines = captions.read_text().splitlines()
    assert len(lines) >= count, f"expected {count} captions, got {len(lines)}"
    text.write_text("\n".join(lines[:count]) + "\n")
    command = [decap, "train", text, "--out", folder / "model", "--encoder", encoder, "--epochs", "1"]
    command += ["--cache", folder / "cache"]
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True)
    return time.perf_counter() - started


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("captions_file", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--decap", type=Path, default=HERE / "../../target/release/decap")
    arguments.add_argument("--captions", type=int, default=100_000)
    arguments.add_argument("--steps", type=int, default=10)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = decap_seconds(arguments.decap, arguments.captions_file, arguments.captions, Path(folder))
    step = reference_step_seconds(arguments.steps)
    reference = step * (arguments.captions // 64)
    record = {
        "captions": arguments.captions,
        "decap_s": ours,
        "reference_step_s": step,
        "reference_steps_measured": arguments.steps,
        "reference_s_extrapolated": reference,
        "ratio": reference / ours,
        "threads": os.cpu_count(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "training-epoch.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
