"""Compares the loss curves of two trainings, as bf16 and f32, and draws them.

usage: python tools/peers/loss_curves.py F32/metrics.jsonl BF16/metrics.jsonl --out bench/runs/DATE-MACHINE

    decap train captions.txt --out F32 --precision f32 --max-steps 500
    decap train captions.txt --out BF16 --precision bf16 --max-steps 500

Both see the same captions in the same order. The losses are averaged over 20 steps before they are compared.
"""

import argparse
import json
from pathlib import Path

from scaling import plot

WINDOW = 20


def losses(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [(r["step"], r["loss"]) for r in records if "learning_rate" in r]


def smooth(curve):
    values = [loss for _, loss in curve]
    means = [sum(values[i : i + WINDOW]) / WINDOW for i in range(0, len(values) - WINDOW + 1, WINDOW)]
    return [(WINDOW * (i + 1), mean) for i, mean in enumerate(means)]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("exact", type=Path)
    arguments.add_argument("rounded", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments = arguments.parse_args()
    exact, rounded = smooth(losses(arguments.exact)), smooth(losses(arguments.rounded))
    assert [step for step, _ in exact] == [step for step, _ in rounded], "expected as many steps in both"
    off = [abs(b - a) / a for (_, a), (_, b) in zip(exact, rounded)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    picture = plot("training loss, means of 20 steps", "step", "loss", {"f32": exact, "bf16": rounded})
    (arguments.out / "loss-bf16.svg").write_text(picture)
    record = {
        "steps": exact[-1][0],
        "loss_f32": exact[-1][1],
        "loss_bf16": rounded[-1][1],
        "largest_difference": max(off),
        "last_difference": off[-1],
    }
    (arguments.out / "loss-bf16.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
