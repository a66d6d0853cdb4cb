"""Writes the photo-caption pairs that `decap align` learns the bundled encoder's heads from.

    python pairs.py --data DATA --out WORK/pairs.jsonl

One JSON object a line: `image` (a full path), `captions`, `split` (`train`, `dev` or `test`), after the
roles that `photos.py` gives: look-alikes of a judged photo are left out.
"""

import argparse
import json
import os

from photos import COCO_SETS, read_photos

HUMAN_SETS = (*COCO_SETS, "flickr8k_part", "flickr30k_part", "misc111", "coco_extra", "flickr_extra")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with pairs/")
    parser.add_argument("--out", required=True)
    parser.add_argument("--sets", nargs="*", default=HUMAN_SETS, help="sets to learn from")
    arguments = parser.parse_args()
    counts = {}
    with open(arguments.out + ".partial", "w", encoding="utf-8") as out:
        for photo in read_photos(os.path.join(arguments.data, "pairs")):
            judged = photo["role"] in ("dev", "test")
            # Only COCO's test photos judge: the other sets' are few, and of another kind.
            if photo["set"] not in (COCO_SETS if judged else arguments.sets) or photo["role"] == "dropped":
                continue
            pair = {"image": os.path.abspath(photo["path"]), "captions": photo["captions"], "split": photo["role"]}
            out.write(json.dumps(pair, ensure_ascii=False) + "\n")
            counts[photo["role"]] = counts.get(photo["role"], 0) + 1
    os.replace(arguments.out + ".partial", arguments.out)
    print(counts)


if __name__ == "__main__":
    main()
