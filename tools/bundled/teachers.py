"""Runs the three COCO-80 recognisers over every photo and its mirror and keeps what they see.

Output, one folder: `DETECTIONS.npz` with, per teacher and photo, the sparse list of (centre x, centre y,
width, height, class, score), coordinates 0..1 of the photo, for scores above 0.02, and dense `[photos, 80]`
maximum and sum over all anchors. The teachers only label photos; nothing of them is shipped.
"""

import argparse
import os
import sys

import numpy as np
import onnxruntime
from PIL import Image

from photos import read_photos

FLOOR = 0.02


class Teacher:
    """One recogniser. `see` returns boxes `[anchors, 4]` (centre and size, 0..1) and scores `[anchors, 80]`."""

    def __init__(self, path, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options)
        self.input = self.session.get_inputs()[0]
        self.side = self.input.shape[2]


class YoloxNano(Teacher):
    def see(self, image):
        """`image`: PIL RGB. Letterboxed top left on 114, BGR, 0..255."""
        scale = self.side / max(image.size)
        width, height = round(image.width * scale), round(image.height * scale)
        canvas = np.full((self.side, self.side, 3), 114, np.float32)
        canvas[:height, :width] = np.asarray(image.resize((width, height), Image.BILINEAR), np.float32)[..., ::-1]
        out = self.session.run(None, {self.input.name: canvas.transpose(2, 0, 1)[None]})[0][0]
        centres, steps = grid(self.side, (8, 16, 32), 0.0)
        boxes = np.concatenate([(out[:, :2] + centres) * steps, np.exp(np.minimum(out[:, 2:4], 8)) * steps], 1)
        return boxes / np.array([width, height, width, height], np.float32), out[:, 4:5] * out[:, 5:]


class Gfl(Teacher):
    """NanoDet and PicoDet: squashed to a square; boxes as four distance distributions of 8 bins."""

    def __init__(self, path, strides, mean, std, blue_first):
        super().__init__(path)
        self.strides, self.mean, self.std, self.blue_first = strides, mean, std, blue_first

    def see(self, image):
        pixels = np.asarray(image.resize((self.side, self.side), Image.BILINEAR), np.float32)
        pixels = ((pixels[..., ::-1] if self.blue_first else pixels) - self.mean) / self.std
        out = self.session.run(None, {self.input.name: pixels.transpose(2, 0, 1)[None].astype(np.float32)})
        levels = len(self.strides)
        scores = np.concatenate([o[0] for o in out[:levels]])
        if scores.min() < 0 or scores.max() > 1:
            scores = 1 / (1 + np.exp(-scores))
        bins = np.concatenate([o[0] for o in out[levels:]]).reshape(-1, 4, 8)
        bins = np.exp(bins - bins.max(-1, keepdims=True))
        reach = (bins / bins.sum(-1, keepdims=True)) @ np.arange(8, dtype=np.float32)
        centres, steps = grid(self.side, self.strides, 0.5)
        centres, reach = centres * steps, reach * steps
        low, high = centres - reach[:, :2], centres + reach[:, 2:]
        return np.concatenate([(low + high) / 2, high - low], 1) / self.side, scores


def grid(side, strides, offset):
    """Cell corners (or centres with offset 0.5) `[anchors, 2]` in cells, and strides `[anchors, 1]`."""
    cells, steps = [], []
    for stride in strides:
        n = -(-side // stride)
        y, x = np.mgrid[:n, :n]
        cells.append(np.stack([x, y], -1).reshape(-1, 2) + offset)
        steps.append(np.full((n * n, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def make_teacher(models, name):
    path = lambda file: os.path.join(models, file)
    if name == "yolox":
        return YoloxNano(path("yolox_nano.onnx"))
    if name == "nanodet":
        mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
        return Gfl(path("nanodet_m_320.onnx"), (8, 16, 32), mean, std, blue_first=True)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return Gfl(path("picodet_s_320_coco.onnx"), (8, 16, 32, 64), mean, std, blue_first=False)


def photo_of(photo):
    """The photo as RGB; the squashed sets are widened back to 4:3, the commonest shape."""
    image = Image.open(photo["path"]).convert("RGB")
    if photo["set"] == "visual7w_qa":
        image = image.resize((image.width * 4 // 3, image.height), Image.BICUBIC)
    return image


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="folder with pairs/ and models/")
    parser.add_argument("--out", required=True)
    parser.add_argument("--teacher", choices=("yolox", "nanodet", "picodet"), required=True)
    parser.add_argument("--mirror", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    photos = read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.out, "fingerprints.npy"))
    teacher = make_teacher(os.path.join(args.data, "models"), args.teacher)
    strongest = np.zeros((len(photos), 80), np.float32)
    total = np.zeros((len(photos), 80), np.float32)
    rows, starts = [], [0]
    for index, photo in enumerate(photos):
        image = photo_of(photo)
        if args.mirror:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        boxes, scores = teacher.see(image)
        strongest[index], total[index] = scores.max(0), scores.sum(0)
        anchor, label = np.nonzero(scores > FLOOR)
        found = np.concatenate([boxes[anchor], label[:, None], scores[anchor, label][:, None]], 1)
        rows.append(found.astype(np.float16))
        starts.append(starts[-1] + len(found))
        if index % 1000 == 0:
            print(index, len(photos), file=sys.stderr, flush=True)
    name = args.teacher + ("_mirror" if args.mirror else "")
    np.savez(
        os.path.join(args.out, name + ".npz"),
        ids=np.array([p["id"] for p in photos]),
        strongest=strongest,
        total=total,
        detections=np.concatenate(rows),
        starts=np.array(starts),
    )


if __name__ == "__main__":
    main()
