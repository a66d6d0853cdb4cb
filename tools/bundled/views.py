"""Cuts several views of every learnable photo and stores what the frozen front of the tower makes of them.

The front (stem and stages 1-3) never changes, so its output `[side/8, side/8, channels]` f16 is computed once a
view: that and the original network's pooled features are all that fine-tuning needs of a photo.
Views: 0 the whole photo; 1 the whole photo mirrored, colours jittered; then random crops of 45..100 % of the
area, mirrored half the time. Whole and cropped alike are squashed to a square.
"""

import argparse
import multiprocessing
import os
import sys

import numpy as np
import onnxruntime
import torch
from PIL import Image, ImageEnhance

from network import Front, load_imagenet
from photos import read_photos

MEAN, STD = 127.0, 128.0


def pixels_of(image, side):
    """PIL RGB to `[3, side, side]` f32, (x-127)/128, squashed."""
    squashed = np.asarray(image.resize((side, side), Image.BICUBIC), np.float32)
    return ((squashed - MEAN) / STD).transpose(2, 0, 1)


def cut(image, view, random):
    """A view and its geometry (x0, y0, width, height as parts of the photo, mirrored 0 or 1)."""
    x0, y0, width, height, mirrored = 0.0, 0.0, 1.0, 1.0, float(view == 1)
    if view >= 2:
        area = random.uniform(0.45, 1.0)
        stretch = np.exp(random.uniform(-0.22, 0.22))
        width, height = min(1.0, np.sqrt(area) * stretch), min(1.0, np.sqrt(area) / stretch)
        x0, y0 = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
        mirrored = float(random.random() < 0.5)
        w, h = image.size
        image = image.crop((round(x0 * w), round(y0 * h), round((x0 + width) * w), round((y0 + height) * h)))
    if mirrored:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if view >= 1:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(random.uniform(0.75, 1.3))
    return image, (x0, y0, width, height, mirrored)


def open_store(folder, photos, views, side, channels, width, mode="r+"):
    """Memory maps: front `[views, photos, side/8, side/8, channels]`, pooled, geometry, done."""
    cells = side // 8
    shapes = {
        "front": (np.float16, (views, photos, cells, cells, channels)),
        "pooled": (np.float16, (views, photos, width)),
        "geometry": (np.float32, (views, photos, 5)),
        "done": (np.uint8, (views, photos)),
    }
    store = {}
    for name, (dtype, shape) in shapes.items():
        path = os.path.join(folder, name + ".npy")
        if not os.path.exists(path):
            np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
        store[name] = np.load(path, mmap_mode=mode)
        assert store[name].shape == shape, (name, store[name].shape, shape)
    return store


class Both(torch.nn.Module):
    """The front's map and the untouched network's pooled features."""

    def __init__(self, net):
        super().__init__()
        from network import Back

        self.front = Front(net)
        self.back = Back(net, 1, 1)

    def forward(self, x):
        f3 = self.front(x)
        c5 = self.back.late(self.back.middle(f3))
        return f3, torch.nn.functional.relu6(self.back.head(c5)).mean((2, 3))


def export_front(name, side, path):
    model = Both(load_imagenet(name)).eval()
    names = {"input_names": ["pixels"], "output_names": ["front", "pooled"]}
    axes = {n: {0: "batch"} for n in ("pixels", "front", "pooled")}
    pixels = torch.zeros(2, 3, side, side)
    torch.onnx.export(model, (pixels,), path, dynamic_axes=axes, opset_version=17, dynamo=False, **names)
    return [t.shape for t in model(pixels)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--net", default="lite0")
    parser.add_argument("--side", type=int, default=288)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    photos = read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.out, "fingerprints.npy"))
    model = os.path.join(args.out, f"front_{args.net}.onnx")
    f3, pooled = export_front(args.net, args.side, model)
    shape = (len(photos), args.views, args.side, f3[1], pooled[1])
    open_store(args.out, *shape)
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=fill, args=(rank, args, photos, model, shape)) for rank in range(args.processes)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert all(other.exitcode == 0 for other in others)


def fill(rank, args, photos, model, shape):
    """Every `processes`-th batch of eight photos, on one thread: two such processes are faster than two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    store = open_store(args.out, *shape)
    # COCO first: training can begin on what is there.
    order = [i for i, p in enumerate(photos) if p["role"] in ("train", "dev")]
    order.sort(key=lambda i: not photos[i]["set"].startswith("coco"))
    for view in range(args.views):
        for start in range(8 * rank, len(order), 8 * args.processes):
            rows = [i for i in order[start : start + 8] if not store["done"][view, i]]
            if not rows:
                continue
            batch = []
            for i in rows:
                random = np.random.default_rng((view, i))
                image, geometry = cut(Image.open(photos[i]["path"]).convert("RGB"), view, random)
                batch.append(pixels_of(image, args.side))
                store["geometry"][view, i] = geometry
            front, pool = session.run(None, {"pixels": np.stack(batch)})
            store["front"][view, rows] = front.transpose(0, 2, 3, 1)
            store["pooled"][view, rows] = pool
            store["done"][view, rows] = 1
            if start % 800 < 8:
                print(view, start, len(order), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
