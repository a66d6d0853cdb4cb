"""Compare caption-metrics' scores with pycocoevalcap's, corpus and per image.

    cargo build --release -p caption-metrics --examples
    target/release/examples/prepare_meteor PYCOCOEVALCAP_FOLDER meteor.bin
    python tools/reference/metrics_compare.py target/release/examples/score meteor.bin REFERENCES PREDICTIONS
    python tools/reference/metrics_compare.py target/release/examples/score meteor.bin --odd 2000 --seed 1

REFERENCES is {"id": ["caption", ...]} and PREDICTIONS {"id": "caption"} (.json or .json.gz);
`--odd N` makes N images with odd captions, predictions being references disturbed, and
`--sentences FILE` takes the captions from a file's lines instead. Exit code 1 on a difference
above the tolerance. Needs pycocoevalcap 1.2 and Java.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time

from metrics_golden import scores_of
from metrics_tokenizer import LINE_ENDS, odd_string

# Both compute in doubles; sums are taken in another order.
TOLERANCE = 1e-6


def load(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    with opened as file:
        return json.load(file)


def disturbed(caption, others, choose):
    words = caption.split(" ")
    for _ in range(choose.randint(0, 4)):
        place = choose.randrange(len(words))
        action = choose.random()
        if action < 0.25 and len(words) > 1:
            del words[place]
        elif action < 0.5:
            words.insert(place, choose.choice(choose.choice(others).split(" ")))
        elif action < 0.75:
            other = choose.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        else:
            words[place] = words[place] + choose.choice(["s", "ed", "ing", "er", "ly"])
    return " ".join(words)


def odd_pairs(count, seed, sentences):
    choose = random.Random(seed)

    def caption():
        while True:
            text = choose.choice(sentences) if sentences else odd_string(choose)
            # No lines that the reference reads as several.
            if text == text.translate(LINE_ENDS):
                return text

    references, predictions = {}, {}
    for index in range(count):
        captions = [caption() for _ in range(choose.randint(1, 5))]
        captions += [disturbed(choose.choice(captions), captions, choose) for _ in range(choose.randint(0, 2))]
        references[str(index)] = captions
        predictions[str(index)] = disturbed(choose.choice(captions), [caption(), caption()], choose)
    return references, predictions


def scores_by(program, meteor, references, predictions):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, content in (("references", references), ("predictions", predictions)):
            paths.append(os.path.join(folder, name + ".json"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                json.dump(content, file)
        output = subprocess.run([program, *paths, meteor], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("meteor")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--odd", type=int, default=0)
    parser.add_argument("--sentences")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.odd:
        sentences = []
        if arguments.sentences:
            with open(arguments.sentences, encoding="utf-8") as file:
                sentences = file.read().split("\n")
        references, predictions = odd_pairs(arguments.odd, arguments.seed, [line for line in sentences if line])
    else:
        references, predictions = (load(path) for path in arguments.files)
    start = time.time()
    expected = scores_of(references, predictions)
    reference_seconds = time.time() - start
    start = time.time()
    found = scores_by(arguments.program, arguments.meteor, references, predictions)
    seconds = time.time() - start
    num_different = 0
    for name, value in expected["corpus"].items():
        difference = abs(value - found["corpus"][name])
        print(f"{name:8} {value:.10f} {found['corpus'][name]:.10f} {difference:.1e}")
        num_different += difference > TOLERANCE
    for key, values in expected["images"].items():
        for name, value in values.items():
            if abs(value - found["images"][key][name]) > TOLERANCE:
                num_different += 1
                if num_different < 15:
                    print(key, name, "expected", value, "got", found["images"][key][name])
                    print("   ", expected["predictions"][key], "|", expected["references"][key])
    print(f"{num_different} scores of {len(expected['images'])} images differ")
    print(f"pycocoevalcap {reference_seconds:.1f} s, caption-metrics {seconds:.1f} s")
    sys.exit(1 if num_different else 0)


if __name__ == "__main__":
    main()
