"""Fits how sure a model's captions are, and writes it into its `model.json`.

    python calibrate.py --decap target/release/decap --pairs WORK/pairs.jsonl --model WORK/tiny --work WORK/calibration

A logistic regression on two facts of the ten memory sentences nearest to a photo: their mean cosine with it (nearness)
and the length of their mean embedding (coherence). It is fitted on the development photos, whose captions are right or
not by their references, and on images that no caption of a photo fits (noise, plain colour, blurs, pages of text,
line drawings; drawn here), all of them not right. The test photos, and such images of another seed, are only looked at.

A caption counts as right when three quarters of its content words occur in some reference, and two of them in two
or more.
"""

import argparse
import json
import os
import random
import re
import struct
import subprocess

import numpy as np
from PIL import Image, ImageDraw

SENTENCES = 10
KINDS = ("noise", "plain", "blur", "page", "drawing")
IMAGES_OF_A_KIND = 20
FUNCTION_WORDS = set(
    "a an the of on in at to with and is are it its his her their by for from up down next near front top other some "
    "two three four one standing sitting holding there that this as into over large small group".split()
)
PLURALS = {"men": "man", "women": "woman", "people": "person", "children": "child"}
PEOPLE = {"boy", "girl", "man", "woman", "child", "guy", "lady", "kid"}
TYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8}


def lemma(word):
    word = PLURALS.get(word, word)
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return "person" if word in PEOPLE else word


def content_words(sentence):
    return {lemma(word) for word in re.findall(r"[a-z0-9]+", sentence.lower()) if word not in FUNCTION_WORDS}


def is_right(caption, references):
    references = [content_words(reference) for reference in references]
    counts = [sum(word in reference for reference in references) for word in content_words(caption)]
    found = sum(count > 0 for count in counts)
    return bool(counts) and found >= 0.75 * len(counts) and sum(count >= 2 for count in counts) >= 2


def memory_rows(model):
    with open(os.path.join(model, "memory.safetensors"), "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensor = json.loads(file.read(length))["rows"]
        begin, end = tensor["data_offsets"]
        file.seek(8 + length + begin)
        rows = np.frombuffer(file.read(end - begin), TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    # A row's scale is lost in its length.
    return unit(rows.astype(np.float32))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def odd_images(folder, seed, texts):
    """Images that are no photos, `IMAGES_OF_A_KIND` of each kind."""
    os.makedirs(folder, exist_ok=True)
    draw, pick = np.random.default_rng(seed), random.Random(seed)
    words = " ".join(texts).split()
    colour = lambda: tuple(int(value) for value in draw.integers(0, 256, 3))
    for index in range(IMAGES_OF_A_KIND):
        images = {
            "noise": Image.fromarray(draw.integers(0, 256, (300, 400, 3), dtype=np.uint8)),
            "plain": Image.new("RGB", (320, 240), colour() if index else (0, 0, 0)),
            "blur": Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((400, 300), Image.BICUBIC),
            "page": Image.new("RGB", (600, 800), "white"),
            "drawing": Image.new("RGB", (400, 400), "white"),
        }
        pen, line = ImageDraw.Draw(images["page"]), 40
        while line < 760:
            pen.text((40, line), " ".join(pick.sample(words, 9))[:80], fill="black")
            line += pick.choice((18, 18, 18, 30))
        pen = ImageDraw.Draw(images["drawing"])
        for _ in range(12):
            x0, y0, x1, y1 = (int(value) for value in draw.integers(0, 400, 4))
            if pick.random() < 0.5:
                pen.ellipse((min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1), outline="black", width=3)
            else:
                pen.line((x0, y0, x1, y1), fill="black", width=3)
        for kind, image in images.items():
            image.save(os.path.join(folder, f"{kind}-{index:02}.png"))
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def embeddings(decap, model, paths, out):
    subprocess.run([decap, "embed", "--encoder", model, "--output", out, *paths], check=True)
    return unit(np.load(out))


def facts(rows, queries):
    cosines = queries @ rows.T
    nearest = np.argsort(-cosines, axis=1)[:, :SENTENCES]
    nearness = np.take_along_axis(cosines, nearest, 1).mean(1)
    coherence = np.linalg.norm(rows[nearest].mean(1), axis=1)
    return np.stack([nearness, coherence], 1)


def fit(values, right):
    """Logistic regression by Newton's method, with a little ridge so that it always ends."""
    mean, deviation = values.mean(0), values.std(0)
    inputs = np.concatenate([np.ones((len(values), 1)), (values - mean) / deviation], 1)
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        sure = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (right - sure) - 1e-3 * weights
        curve = (inputs * (sure * (1 - sure))[:, None]).T @ inputs + 1e-3 * np.eye(len(weights))
        weights += np.linalg.solve(curve, slope)
    slopes = weights[1:] / deviation
    return weights[0] - slopes @ mean, slopes


def area_under_curve(sure, right):
    order = np.argsort(np.argsort(sure))
    return (order[right].mean() - (right.sum() - 1) / 2) / (~right).sum()


def table(sure, right):
    lines = []
    for low in np.arange(0, 1, 0.1):
        here = (sure >= low) & (sure < low + 0.1 + (low > 0.85))
        share = f"{right[here].mean():.2f}" if here.any() else ""
        lines.append(f"| {low:.1f} to {low + 0.1:.1f} | {here.sum()} | {share} |")
    return "\n".join(["| confidence | photos | right |", "|---|---|---|", *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--decap", "--pairs", "--model", "--work"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    decap, work = os.path.abspath(arguments.decap), os.path.abspath(arguments.work)
    model = os.path.abspath(arguments.model)
    os.makedirs(work, exist_ok=True)
    rows = memory_rows(model)
    with open(arguments.pairs, encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    photos = {}
    for split in ("dev", "test"):
        judged = [pair for pair in pairs if pair["split"] == split]
        paths = [pair["image"] for pair in judged]
        values = facts(rows, embeddings(decap, model, paths, os.path.join(work, f"{split}.npy")))
        command = [decap, "caption", "-", "--model", model, "--json", "--evidence", "0"]
        told = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True).stdout
        captions = [json.loads(line)["caption"] for line in told.splitlines()]
        right = [is_right(caption, pair["captions"]) for caption, pair in zip(captions, judged, strict=True)]
        photos[split] = values, np.array(right)
    texts = [caption for pair in pairs[:200] for caption in pair["captions"]]
    odd = {}
    for split, seed in (("dev", 0), ("test", 1)):
        paths = odd_images(os.path.join(work, f"odd-{split}"), seed, texts)
        odd[split] = facts(rows, embeddings(decap, model, paths, os.path.join(work, f"odd-{split}.npy"))), paths
    values = np.concatenate([photos["dev"][0], odd["dev"][0]])
    right = np.concatenate([photos["dev"][1], np.zeros(len(odd["dev"][0]), bool)])
    intercept, slopes = fit(values, right)
    confidence = lambda values: 1 / (1 + np.exp(-(intercept + values @ slopes)))
    # Nine in ten of the odd images are left out by it.
    least = round(float(np.quantile(confidence(odd["dev"][0]), 0.9)), 2)
    for split in ("dev", "test"):
        values, right = photos[split]
        sure, odd_sure = confidence(values), confidence(odd[split][0])
        print(f"{split}: {right.mean():.3f} of {len(right)} right, area under the curve {area_under_curve(sure, right):.3f}")
        print(f"confidence below {least}: {(sure < least).mean():.3f} of the photos, "
              f"right {right[sure < least].mean():.3f}; {(odd_sure < least).mean():.3f} of the odd images")
        for kind in KINDS:
            here = np.array([os.path.basename(path).startswith(kind) for path in odd[split][1]])
            print(f"  {kind}: confidence {odd_sure[here].min():.3f} to {odd_sure[here].max():.3f}")
        print(table(sure, right))
    path = os.path.join(model, "model.json")
    with open(path, encoding="utf-8") as file:
        description = json.load(file)
    description["confidence"] = {
        "sentences": SENTENCES,
        "intercept": round(float(intercept), 4),
        "nearness": round(float(slopes[0]), 4),
        "coherence": round(float(slopes[1]), 4),
        "least": least,
    }
    with open(path + ".partial", "w", encoding="utf-8") as file:
        json.dump(description, file, indent=2)
    os.replace(path + ".partial", path)


if __name__ == "__main__":
    main()
