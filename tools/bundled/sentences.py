"""Writes the sentences that the bundled decoder and its memory are made of.

    python sentences.py --text coco_train_mix.txt --pairs WORK/pairs.jsonl --out WORK/sentences.txt

The first 50,000 sentences of the text, less those that stand among the captions of development and test photos, whatever
their case and punctuation: a judge that has been read by heart chooses and measures too high.
"""

import argparse
import json
import os
import re

SENTENCES = 50_000


def plain(sentence):
    return " ".join(re.findall(r"[a-z0-9]+", sentence.lower()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="one sentence a line")
    parser.add_argument("--pairs", required=True, help="what pairs.py wrote")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    with open(arguments.pairs, encoding="utf-8") as lines:
        judged = [pair for pair in map(json.loads, lines) if pair["split"] in ("dev", "test")]
    judged = {plain(caption) for pair in judged for caption in pair["captions"]}
    with open(arguments.text, encoding="utf-8") as lines:
        sentences = [line.strip() for line in lines]
    kept = [sentence for sentence in sentences if sentence and plain(sentence) not in judged]
    with open(arguments.out + ".partial", "w", encoding="utf-8") as out:
        out.writelines(sentence + "\n" for sentence in kept[:SENTENCES])
    os.replace(arguments.out + ".partial", arguments.out)
    print(f"{len(sentences)} sentences, {len(sentences) - len(kept)} judged left out, {min(len(kept), SENTENCES)} kept")


if __name__ == "__main__":
    main()
