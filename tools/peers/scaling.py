"""Times decap over memory rows, batch, caption length and threads, and draws the plots.

usage: python tools/peers/scaling.py --out bench/runs/DATE-MACHINE [--decap target/release/decap] [--seconds 1] [--minutes M]

What was measured is kept in OUT/scaling.jsonl; the same command goes on where it was.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = ["10k", "30k", "100k", "300k", "1m", "2m", "5m"]
PLOTS = {
    "memory": ("projection over rows of the memory", "rows", "ms", {
        "1 query": [f"project_{rows}_q1" for rows in ROWS],
        "32 queries": [f"project_{rows}_q32" for rows in ROWS],
    }),
    "batch": ("image tower over photos a batch", "photos", "photos a second", {
        "image tower": [f"image_tower_b{batch}" for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256)],
    }),
    "length": ("one caption over its tokens", "tokens", "ms", {
        "decoding, 1 caption": [f"decode_{tokens}" for tokens in (5, 10, 15, 20, 30, 40)],
        "decoding, 16 captions": [f"decode_{tokens}_b16" for tokens in (5, 10, 20, 40)],
        "text tower, 64 texts": [f"text_tower_64x{tokens}" for tokens in (4, 8, 16, 32, 64, 77)],
    }),
}
THREADS = ["image_tower_b1", "image_tower_b16", "text_tower_64x16", "decode_15", "train_step_64x20",
           "project_500k_q1", "project_500k_q32"]


def size(work):
    """The number that a plot runs over."""
    text = {"project": lambda w: w.split("_")[1], "image": lambda w: w.split("_b")[1],
            "decode": lambda w: w.split("_")[1], "text": lambda w: w.split("x")[-1]}[work.split("_")[0]](work)
    return float(text.rstrip("km")) * {"k": 1e3, "m": 1e6}.get(text[-1], 1)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--decap", type=Path, default=HERE / "../../target/release/decap")
    arguments.add_argument("--seconds", type=float, default=1)
    arguments.add_argument("--minutes", type=float)
    arguments = arguments.parse_args()
    raw = arguments.out / "scaling.jsonl"
    raw.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []
    done = {(r["work"], r["threads"]) for r in records}
    wanted = [(work, 2) for *_, series in PLOTS.values() for works in series.values() for work in works]
    wanted += [(work, threads) for work in THREADS for threads in (1, 2)]
    began = time.monotonic()
    for work, threads in dict.fromkeys(wanted):
        if (work, threads) in done:
            continue
        if arguments.minutes and time.monotonic() - began > 60 * arguments.minutes:
            print("time is over: run it again to go on", file=sys.stderr)
            return
        command = [arguments.decap, "bench", "--json", "--work", work, "--seconds", str(arguments.seconds)]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        records.append(json.loads(output))
        print(f"{work:<24} {threads} threads {records[-1]['ms_median']:10.2f} ms", file=sys.stderr)
        with raw.open("a") as file:
            file.write(output)
    ms = {(r["work"], r["threads"]): r["ms_median"] for r in records}
    for name, (title, across, up, series) in PLOTS.items():
        lines = {}
        for label, works in series.items():
            value = (lambda work: 1e3 * size(work) / ms[work, 2]) if up != "ms" else (lambda work: ms[work, 2])
            lines[label] = [(size(work), value(work)) for work in works]
        (arguments.out / f"scaling-{name}.svg").write_text(plot(title, across, up, lines))
    bars = {work: [(1, ms[work, 1]), (2, ms[work, 2])] for work in THREADS}
    (arguments.out / "scaling-threads.svg").write_text(plot("one and two threads", "threads", "ms", bars))
    table = ["| work | 1 thread, ms | 2 threads, ms | times as fast |", "|---|---|---|---|"]
    for work in THREADS:
        one, two = ms[work, 1], ms[work, 2]
        table.append(f"| {work} | {one:.1f} | {two:.1f} | {one / two:.2f} |")
    for *_, series in PLOTS.values():
        table += ["", "| work | ms |", "|---|---|"]
        table += [f"| {work} | {ms[work, 2]:.2f} |" for works in series.values() for work in works]
    (arguments.out / "scaling.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))


def plot(title, across, up, lines):
    """Lines over two logarithmic axes."""
    width, height, left, top = 640, 380, 80, 50
    colours = ["#2a7f62", "#b5482a", "#2f5d9b", "#8a6d1f", "#7a3b8f", "#444444", "#1f8a8a"]
    points = [point for line in lines.values() for point in line]
    low = [min(p[axis] for p in points) for axis in (0, 1)]
    high = [max(p[axis] for p in points) for axis in (0, 1)]
    place = lambda value, axis: (math.log(value) - math.log(low[axis])) / max(math.log(high[axis] / low[axis]), 1e-9)
    x = lambda value: left + place(value, 0) * width
    y = lambda value: top + (1 - place(value, 1)) * height
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 220}" height="{top + height + 60}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15" font-weight="bold">{title}</text>',
        f'<text x="{left + width / 2}" y="{top + height + 45}" text-anchor="middle">{across}</text>',
        f'<text x="18" y="{top + height / 2}" transform="rotate(-90 18 {top + height / 2})" text-anchor="middle">{up}</text>',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
    ]
    for value in sorted({p[0] for p in points}):
        svg.append(f'<text x="{x(value):.1f}" y="{top + height + 18}" text-anchor="middle">{value:g}</text>')
    for power in range(-3, 8):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if low[1] <= value <= high[1]:
                svg.append(f'<line x1="{left}" x2="{left + width}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#eee"/>')
                svg.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for (label, line), colour in zip(lines.items(), colours):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        svg += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}"/>' for a, b in line]
        a, b = line[-1]
        svg.append(f'<text x="{x(a) + 8:.1f}" y="{y(b) + 4:.1f}" fill="{colour}">{label}</text>')
    return "\n".join(svg + ["</svg>"]) + "\n"


if __name__ == "__main__":
    main()
