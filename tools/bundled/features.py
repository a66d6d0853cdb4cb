"""A checkpoint's exported features for every captioned photo, from the cached front maps, for `evaluate.py`."""

import argparse
import os

import numpy as np
import torch

from export_image import fold_gains
from network import SUM_FLOOR, Back, load_imagenet
from photos import read_photos


def read_off(back, f3):
    """What the exported tower gives: pooled 1280, strongest 80, total 80, salience 80."""
    top, things = back.maps(f3)
    heat, size = things[:, :80], things[:, 80:]
    total = (heat.sigmoid().sum((2, 3)) + SUM_FLOOR).log()
    return torch.cat([top.mean((2, 3)), heat.amax((2, 3)), total, size.amax((2, 3))], 1)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--views", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--net", default="lite0")
    parser.add_argument("--num-views", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos = read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.views, "fingerprints.npy"))
    state = torch.load(args.checkpoint, weights_only=False)
    back = Back(load_imagenet(args.net), state["args"]["num_words"], state["args"]["joint_width"])
    back.load_state_dict(state["average"])
    back = fold_gains(back.to(memory_format=torch.channels_last))
    front = np.load(os.path.join(args.views, "front.npy"), mmap_mode="r")
    weak = ("visual7w_qa", "imagenet1k_sample")
    rows = [i for i, p in enumerate(photos) if p["role"] in ("train", "dev") and p["set"] not in weak]
    out = np.zeros((args.num_views, len(photos), 1280 + 240), np.float32)
    for view in range(args.num_views):
        for start in range(0, len(rows), 16):
            some = rows[start : start + 16]
            f3 = torch.from_numpy(front[view, some]).float().permute(0, 3, 1, 2)
            out[view, some] = read_off(back, f3).numpy()
    np.save(args.out, out)


if __name__ == "__main__":
    main()
