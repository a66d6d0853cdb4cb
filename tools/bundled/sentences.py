"""Writes the sentences that the bundled decoder and memory are made of, without those of the judged photos.

    python sentences.py --data DATA --pairs WORK/pairs.jsonl --out WORK/sentences.txt

The references of development and test photos stand in the caption files word for word. A memory with them would
make every method look better on these photos than it is. Sentences are compared by their letters and digits.
"""

import argparse
import json
import os
import re

SENTENCES = 50_000


def key(sentence):
    return re.sub(r"[^a-z0-9]+", " ", sentence.lower()).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--pairs", "--out"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    judged = set()
    with open(arguments.pairs, encoding="utf-8") as lines:
        for pair in map(json.loads, lines):
            if pair["split"] in ("dev", "test"):
                judged.update(key(caption) for caption in pair["captions"])
    text = os.path.join(arguments.data, "text")
    with open(os.path.join(text, "coco_karpathy_test_refs.txt"), encoding="utf-8") as lines:
        judged.update(map(key, lines))
    seen, kept, dropped = set(), [], 0
    with open(os.path.join(text, "coco_train_mix.txt"), encoding="utf-8") as lines:
        for sentence in map(str.strip, lines):
            found = key(sentence)
            dropped += found in judged
            if found and found not in judged and found not in seen:
                seen.add(found)
                kept.append(sentence)
    with open(arguments.out + ".partial", "w", encoding="utf-8") as out:
        out.writelines(f"{sentence}\n" for sentence in kept[:SENTENCES])
    os.replace(arguments.out + ".partial", arguments.out)
    print(f"{dropped} sentences of judged photos left out, {min(len(kept), SENTENCES)} of {len(kept)} written")


if __name__ == "__main__":
    main()
