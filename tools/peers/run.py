"""Times decap and its peers in turns on this machine, and writes a table and a chart.

usage: python tools/peers/run.py --out bench/runs/DATE-MACHINE [--decap target/release/decap] [--rounds 3] [--seconds 2]
                                 [--work NAME]... [--contender NAME]... [--minutes M] [--report] [--readme README.md] [--candle PATH]

A round runs every contender of a work one after the other (A B C A B C), each in a process of its own, so that a
change of the machine's speed meets all of them. A figure is the median of the rounds' medians. What was measured is
kept in OUT/raw.jsonl: a run that was stopped, or ended by --minutes, goes on where it was. --report only writes the table.
--readme puts the table into that file, between the marks that it finds or makes there.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PHOTO = HERE / "../../crates/decap-cli/src/bench/photo.jpg"
AVX2 = {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

# name -> (kind, precision or mode, variant, environment)
CONTENDERS = {
    "decap": ("decap", "auto", "", {}),
    "decap f32": ("decap", "f32", "", {}),
    "decap int8": ("decap", "int8", "", {}),
    "decap avx512": ("decap", "auto", "", {"DECAP_KERNELS": "avx512"}),
    "decap avx2": ("decap", "auto", "", {"DECAP_KERNELS": "avx2"}),
    "PyTorch f32": ("torch", "f32", "", {}),
    "PyTorch f32, no cache": ("torch", "f32", "plain", {}),
    "PyTorch f32, untrimmed": ("torch", "f32", "untrimmed", {}),
    "PyTorch f32, AVX2": ("torch", "f32", "", AVX2),
    "PyTorch bf16": ("torch", "bf16", "", {}),
    "PyTorch bf16, no cache": ("torch", "bf16", "plain", {}),
    "PyTorch autocast": ("torch", "autocast", "", {}),
    "ONNX Runtime f32": ("ort", "f32", "", {}),
    "ONNX Runtime int8": ("ort", "int8", "", {}),
    "candle f32": ("candle", "f32", "", {}),
}

OURS = ["decap", "decap f32", "decap avx512", "decap avx2"]
TORCH = ["PyTorch f32", "PyTorch f32, AVX2", "PyTorch bf16"]
ORT = ["ONNX Runtime f32", "ONNX Runtime int8"]
CANDLE = ["candle f32"]
# work -> contenders
WORKS = {
    "photo_to_caption": OURS + TORCH + ["PyTorch f32, no cache"],
    "photos_to_captions_256": ["decap", "decap f32", "PyTorch f32", "PyTorch bf16"],
    "image_tower_b1": OURS + ["decap int8"] + TORCH + ["PyTorch autocast"] + ORT + CANDLE,
    "image_tower_b16": OURS + ["decap int8"] + TORCH + ["PyTorch autocast"] + ORT + CANDLE,
    "text_tower_64x16": OURS + TORCH + ["PyTorch f32, untrimmed"] + ORT + CANDLE,
    "text_tower_64x77": OURS + TORCH + ORT,
    "train_step_64x20": OURS + ["PyTorch f32", "PyTorch f32, AVX2", "PyTorch autocast"] + CANDLE,
    "project_500k_q1": OURS + TORCH + CANDLE,
    "project_500k_q32": OURS + TORCH + CANDLE,
    "decode_15": OURS + TORCH + ["PyTorch f32, no cache", "PyTorch bf16, no cache"] + CANDLE,
}
# what is compared where bf16 has instructions: work, ours, peer, what our time must be smaller by on the matrix unit
TARGETS = [
    ("photo_to_caption", "decap", "PyTorch f32, no cache", 8),
    ("photo_to_caption", "decap", "PyTorch bf16", 3),
    ("photos_to_captions_256", "decap", "PyTorch bf16", 1.5),
    ("image_tower_b1", "decap", "PyTorch bf16", 1.6),
    ("image_tower_b1", "decap int8", "ONNX Runtime int8", 1),
    ("image_tower_b16", "decap", "PyTorch bf16", 1.2),
    ("image_tower_b16", "decap int8", "ONNX Runtime int8", 1),
    ("text_tower_64x16", "decap", "PyTorch bf16", 1.1),
    ("text_tower_64x16", "decap", "PyTorch f32, untrimmed", 15),
    ("train_step_64x20", "decap", "PyTorch f32", 3),
    ("train_step_64x20", "decap", "PyTorch autocast", 2),
    ("project_500k_q1", "decap", "PyTorch f32", 5),
    ("project_500k_q32", "decap", "PyTorch f32", 5),
    ("decode_15", "decap", "PyTorch bf16", 4),
]
# peers on machines without bf16 instructions, and what our time must be smaller by
WITHOUT_BF16 = {"PyTorch f32, AVX2": 1 / 1.3, "PyTorch f32": None, "PyTorch f32, no cache": None, "PyTorch f32, untrimmed": None, "ONNX Runtime f32": None}
LABELS = {
    "photo_to_caption": "one photo, file to caption",
    "photos_to_captions_256": "256 photos in batches of 16",
    "image_tower_b1": "image tower, 1 photo",
    "image_tower_b16": "image tower, 16 photos",
    "text_tower_64x16": "text tower, 64 texts of 16 tokens",
    "text_tower_64x77": "text tower, 64 texts of 77 tokens",
    "train_step_64x20": "training step, 64 captions of 20 tokens",
    "project_500k_q1": "projection, 500,000 rows, 1 query",
    "project_500k_q32": "projection, 500,000 rows, 32 queries",
    "decode_15": "greedy decoding, 15 tokens",
}


def measure(arguments, work, contender):
    kind, precision, variant, extra = CONTENDERS[contender]
    seconds = ["--seconds", str(arguments.seconds), "--work", work]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2", **extra}
    if kind == "decap":
        command = [arguments.decap, "bench", "--json", "--precision", precision, "--photo", PHOTO, *seconds]
    elif kind == "torch":
        command = [sys.executable, HERE / "torch_peer.py", "--mode", precision, "--variant", variant, "--photo", PHOTO, *seconds]
    elif kind == "candle":
        command = [arguments.candle, *seconds]
    else:
        command = [sys.executable, HERE / "ort_peer.py", "--mode", precision, "--cache", arguments.cache, *seconds]
    done = subprocess.run(list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(arguments):
    raw = arguments.out / "raw.jsonl"
    raw.parent.mkdir(parents=True, exist_ok=True)
    done = {(r["work"], r["contender"], r["round"]) for r in read(raw)}
    began = time.monotonic()
    for work in arguments.work or WORKS:
        for turn in range(arguments.rounds):
            for contender in WORKS[work]:
                if (work, contender, turn) in done or contender not in (arguments.contender or CONTENDERS):
                    continue
                if contender in CANDLE and not arguments.candle.exists():
                    print(f"{contender} is left out: build tools/peers/candle", file=sys.stderr)
                    continue
                if arguments.minutes and time.monotonic() - began > 60 * arguments.minutes:
                    print("time is over: run it again to go on", file=sys.stderr)
                    return False
                record = {"contender": contender, "round": turn, **measure(arguments, work, contender)}
                print(f"{work:<24} {contender:<26} {record['ms_median']:10.2f} ms", file=sys.stderr)
                with raw.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    return True


def read(raw):
    return [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []


def comparisons(machine):
    if "BF16" in machine:
        return TARGETS
    return [(work, "decap", peer, target) for work in WORKS for peer, target in WITHOUT_BF16.items()]


def report(arguments):
    records = read(arguments.out / "raw.jsonl")
    medians = {}
    for work, contenders in WORKS.items():
        for contender in contenders:
            times = [r["ms_median"] for r in records if (r["work"], r["contender"]) == (work, contender)]
            if times:
                medians.setdefault(work, {})[contender] = statistics.median(times)
    machine = describe_machine()
    each = [1 + max(r["round"] for r in records if r["work"] == work) for work in medians]
    rounds = f"{min(each)}" if min(each) == max(each) else f"{min(each)} to {max(each)}"
    (arguments.out / "results.json").write_text(
        json.dumps({"machine": machine, "rounds": rounds, "ms": medians}, indent=1) + "\n"
    )
    lines = [f"Machine: {machine}. The programs ran alternately; figures are medians of {rounds} rounds, in milliseconds.", ""]
    target = "target with AMX" if "BF16" in machine and "no AMX" in machine else "target"
    lines += [f"| work | decap | other program | | times as fast | {target} |", "|---|---|---|---|---|---|"]
    for work, ours, peer, target in comparisons(machine):
        if ours in medians.get(work, {}) and peer in medians[work]:
            mine, theirs = medians[work][ours], medians[work][peer]
            ratio = theirs / mine
            verdict = "" if target is None else f"{target:.3g}" if ratio >= target else f"{target:.3g}, missed"
            lines.append(f"| {LABELS[work]} | {mine:.1f}{ours.removeprefix('decap')} | {peer} | {theirs:.1f} | **{ratio:.2f}** | {verdict} |")
    if arguments.readme:
        put_into(arguments.readme, lines, arguments.out)
    lines += ["", "Held to one set of instructions (at least 1 for f32, 0.77 for AVX2):", ""]
    lines += ["| work | PyTorch f32 / decap f32 | PyTorch f32 / decap on AVX-512 | PyTorch f32 on AVX2 / decap on AVX2 |", "|---|---|---|---|"]
    for work, times in medians.items():
        ratio = lambda peer, mine: f"{times[peer] / times[mine]:.2f}" if {peer, mine} <= times.keys() else ""
        avx2 = "decap" if "AVX-512" not in machine else "decap avx2"
        cells = [ratio("PyTorch f32", "decap f32"), ratio("PyTorch f32", "decap avx512"), ratio("PyTorch f32, AVX2", avx2)]
        lines.append(f"| {LABELS[work]} | " + " | ".join(cells) + " |")
    lines += ["", "All figures, ms:", "", "| work | " + " | ".join(CONTENDERS) + " |", "|---" * (len(CONTENDERS) + 1) + "|"]
    for work, times in medians.items():
        cells = [f"{times[c]:.1f}" if c in times else "" for c in CONTENDERS]
        lines.append(f"| {LABELS[work]} | " + " | ".join(cells) + " |")
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n")
    (arguments.out / "chart.svg").write_text(chart(medians, machine))
    print("\n".join(lines))


def put_into(readme, lines, out):
    first, last = "<!-- speed: written by tools/peers/run.py -->", "<!-- speed: end -->"
    section = ["## Speed", "", "The networks have the shapes of CLIP ViT-B/32 and of the reference's decoder. " + lines[0], ""]
    section += [*lines[2:], "", f"All figures: [{out}]({out}/table.md). `tools/peers` runs the other programs; `decap bench` times decap only."]
    text = "\n".join([first, *section, last])
    before, mark, rest = readme.read_text().partition(first)
    if not mark:
        before, mark, rest = before.partition("## More")
        readme.write_text(f"{before}{text}\n\n{mark}{rest}")
        return
    _, _, after = rest.partition(last)
    readme.write_text(before + text + after)


def describe_machine():
    model, flags = platform.processor(), set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        if key.strip() == "flags":
            flags = set(value.split())
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "BF16", "avx512_vnni": "VNNI", "amx_bf16": "AMX"}
    have = [name for flag, name in known.items() if flag in flags]
    without = "" if "amx_bf16" in flags else ", no AMX"
    return f"{model}, {os.cpu_count()} cores, {', '.join(have)}{without}"


def chart(medians, machine):
    """Bars: how many times as long as decap each peer takes."""
    rows = []
    for work, ours, peer, _ in comparisons(machine):
        if ours in medians.get(work, {}) and peer in medians[work]:
            rows.append((LABELS[work], peer, medians[work][peer] / medians[work][ours]))
    left, bar, height = 440, 380, 26
    widest = max([ratio for *_, ratio in rows] + [1])
    place = lambda ratio: left + bar * ratio / widest
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + bar + 80}" height="{height * len(rows) + 70}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">Time of the peer over time of decap ({machine})</text>',
    ]
    for index, (label, peer, ratio) in enumerate(rows):
        y = 36 + height * index
        colour = "#2a7f62" if ratio >= 1 else "#b5482a"
        svg.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{label} · {peer}</text>')
        svg.append(f'<rect x="{left}" y="{y}" width="{place(ratio) - left:.1f}" height="18" fill="{colour}"/>')
        svg.append(f'<text x="{place(ratio) + 6:.1f}" y="{y + 14}">{ratio:.2f}</text>')
    bottom = 36 + height * len(rows)
    svg.append(f'<line x1="{place(1):.1f}" x2="{place(1):.1f}" y1="30" y2="{bottom}" stroke="black" stroke-dasharray="3 3"/>')
    svg.append(f'<text x="{place(1):.1f}" y="{bottom + 16}" text-anchor="middle">as fast</text></svg>')
    return "\n".join(svg) + "\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--decap", type=Path, default=HERE / "../../target/release/decap")
    arguments.add_argument("--candle", type=Path, default=HERE / "candle/target/release/candle-peer")
    arguments.add_argument("--cache", type=Path, default=Path("/tmp/decap-peers"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2)
    arguments.add_argument("--work", action="append", choices=list(WORKS))
    arguments.add_argument("--contender", action="append", choices=list(CONTENDERS))
    arguments.add_argument("--minutes", type=float)
    arguments.add_argument("--report", action="store_true")
    arguments.add_argument("--readme", type=Path)
    arguments = arguments.parse_args()
    if arguments.report or run(arguments):
        report(arguments)


if __name__ == "__main__":
    main()
