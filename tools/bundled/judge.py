"""One hundred mixed photos with their captions, to be read by a person and judged.

    python judge.py draw --decap DECAP --pairs PAIRS --more FOLDER --out OUT
    python judge.py count judged.tsv

`draw` takes photos by seed: of COCO's and Flickr's held-out ones, of a folder of others that no part of the model has seen
(`--more`), and of odd sets (crops, single objects, small squashed photos) that its training used. It writes `judged.tsv` with
empty verdicts and pages of twenty photos, `page-1.png` and so on. Verdicts: `right` (nothing said is false, and the main thing
is said), `partly` (the main thing is right, something else is false), `wrong` (the main thing is false). `silly` marks
English that nobody would say, whatever the verdict.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import textwrap
from collections import Counter, defaultdict

from PIL import Image, ImageDraw, ImageFont

from photos import read_manifest

SEED = 11
# How many of which: held-out, unseen, seen in training without its captions or with them.
HELD_OUT = {"coco_2k": 16, "coco_misc": 8, "coco_more": 16, "flickr8k_part": 17, "flickr30k_part": 3}
SEEN = {"misc111": 6, "imagenet1k_sample": 8, "visual7w_qa": 6}
UNSEEN = 20
COLUMNS = ["number", "set", "photo", "confidence", "caption", "verdict", "silly"]
CELL, PHOTO, ACROSS, A_PAGE = (330, 330), 240, 5, 20


def draw_photos(pairs, more):
    random_of = random.Random(SEED)
    chosen = []
    for name, count in {**HELD_OUT, **SEEN}.items():
        role = "test" if name in HELD_OUT else "train"
        photos = sorted((p for p in read_manifest(pairs, name) if p["role"] == role), key=lambda p: p["id"])
        chosen += [(name, p["path"]) for p in random_of.sample(photos, count)]
    others = sorted(os.listdir(more))
    chosen += [("unseen", os.path.join(more, name)) for name in random_of.sample(others, UNSEEN)]
    random_of.shuffle(chosen)
    return chosen


def caption(decap, paths):
    command = [decap, "caption", "--json", "--quiet", *paths]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def write_pages(rows, paths, out):
    font = ImageFont.load_default(15)
    for first in range(0, len(rows), A_PAGE):
        page = Image.new("RGB", (CELL[0] * ACROSS, CELL[1] * (A_PAGE // ACROSS)), "white")
        pen = ImageDraw.Draw(page)
        for place in range(first, min(first + A_PAGE, len(rows))):
            x, y = CELL[0] * ((place - first) % ACROSS), CELL[1] * ((place - first) // ACROSS)
            photo = Image.open(paths[place]).convert("RGB")
            photo.thumbnail((PHOTO * 1.3, PHOTO))
            page.paste(photo, (x + 6, y + 4))
            text = f"{rows[place]['number']}. {rows[place]['caption']}"
            pen.multiline_text((x + 6, y + PHOTO + 8), textwrap.fill(text, 42), "black", font)
        page.save(os.path.join(out, f"page-{first // A_PAGE + 1}.png"))


def draw(args):
    os.makedirs(args.out, exist_ok=True)
    photos = draw_photos(args.pairs, args.more)
    paths = [path for _, path in photos]
    rows = []
    for number, ((name, path), found) in enumerate(zip(photos, caption(args.decap, paths)), 1):
        values = [number, name, os.path.basename(path), found.get("confidence", ""), found["caption"], "", ""]
        rows.append(dict(zip(COLUMNS, values)))
    with open(os.path.join(args.out, "judged.tsv"), "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_pages(rows, paths, args.out)


def count(args):
    with open(args.table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    groups = defaultdict(list)
    for row in rows:
        kind = "held-out" if row["set"] in HELD_OUT else "seen" if row["set"] in SEEN else "unseen"
        groups[kind].append(row)
    groups["all"] = rows
    groups["confidence of 0.31 or more"] = [row for row in rows if float(row["confidence"]) >= 0.31]
    print("| photos | number | right | partly | wrong | silly |\n|---|---|---|---|---|---|")
    for name, group in groups.items():
        verdicts = Counter(row["verdict"] for row in group)
        silly = sum(row["silly"] == "silly" for row in group)
        share = [verdicts["right"], verdicts["partly"], verdicts["wrong"], silly]
        print(f"| {name} | {len(group)} | " + " | ".join(f"{100 * n / len(group):.0f} %" for n in share) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("draw")
    for name in ("decap", "pairs", "more", "out"):
        command.add_argument(f"--{name}", required=True)
    command.set_defaults(run=draw)
    command = commands.add_parser("count")
    command.add_argument("table")
    command.set_defaults(run=count)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
