"""The labelled photos: which may be learnt from, which choose, which only judge.

Every photo is named `SET/images/FILE`. Its role is one of
  test    the held-out photos that judge a model; nothing here ever reads them but `evaluate.py --final`
  dev     400 COCO training photos with five captions or more, cut off to choose with
  train   everything else that is not a look-alike of a test or dev photo
"""

import json
import os
import random

import numpy as np
from PIL import Image

COCO_SETS = ("coco_2k", "coco_misc", "coco_more")
WEAK_SETS = ("visual7w_qa",)
CLASS_SETS = ("imagenet1k_sample",)
DEV_PHOTOS = 400
DEV_SEED = 7


def read_manifest(pairs, name):
    """The photos of one set, each with `id`, `path`, `set` and `role` added."""
    folder = os.path.join(pairs, name)
    with open(os.path.join(folder, "manifest.jsonl"), encoding="utf-8") as lines:
        photos = [json.loads(line) for line in lines]
    for photo in photos:
        photo["set"] = name
        photo["id"] = f"{name}/{photo['image']}"
        photo["path"] = os.path.join(folder, photo["image"])
        is_judge = name not in WEAK_SETS and photo["split"] in ("test", "val")
        photo["role"] = "test" if is_judge else "train"
    return photos


def fingerprint(path, side=16):
    """A photo squashed to `side` x `side` grey, mean 0, length 1: alike for copies at any size."""
    image = Image.open(path).convert("L").resize((side, side), Image.BICUBIC)
    grey = np.asarray(image, np.float32).ravel()
    grey -= grey.mean()
    return grey / (np.linalg.norm(grey) + 1e-6)


def read_photos(pairs, look_alike=0.965, cache=None):
    """All photos of `pairs`, roles final. Look-alikes of test or dev photos get the role `dropped`."""
    names = sorted(n for n in os.listdir(pairs) if os.path.exists(os.path.join(pairs, n, "manifest.jsonl")))
    photos = [photo for name in names for photo in read_manifest(pairs, name)]
    judged = {p["coco_id"] for p in photos if p["role"] == "test" and "coco_id" in p}
    for photo in photos:
        if photo["role"] == "train" and photo.get("coco_id") in judged:
            photo["role"] = "dropped"
    candidates = [p for p in photos if p["set"] in COCO_SETS and p["role"] == "train" and len(p["captions"]) >= 5]
    for photo in random.Random(DEV_SEED).sample(sorted(candidates, key=lambda p: p["id"]), DEV_PHOTOS):
        photo["role"] = "dev"
    if cache and os.path.exists(cache):
        prints = np.load(cache)
    else:
        prints = np.stack([fingerprint(p["path"]) for p in photos])
        if cache:
            np.save(cache, prints)
    roles = np.array([p["role"] for p in photos])
    kept = np.isin(roles, ("test", "dev"))
    likeness = prints @ prints[kept].T
    for photo, best in zip(photos, likeness.max(1)):
        if photo["role"] == "train" and best > look_alike:
            photo["role"] = "dropped"
    return photos
