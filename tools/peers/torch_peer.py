"""Times PyTorch on the works of `decap bench`: one JSON object a work on standard output.

usage: torch_peer.py --mode f32|bf16|autocast [--variant cached|plain|untrimmed] --work NAME [--seconds S] [--photo FILE]

Tuned as well as we know: two threads, denormals flushed, inference mode, weights in bf16 (`bf16`), a cache of
keys and values (`cached`), texts as long as they are (`untrimmed` pads them to 77 as the reference does).
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import time

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
os.environ.setdefault("MKL_NUM_THREADS", str(THREADS))

import numpy as np
import torch
import torch.nn.functional as F
from concurrent.futures import ThreadPoolExecutor
from PIL import Image

from networks import EMBEDDING, VOCABULARY, Decoder, ImageTower, TextTower

MEMORY_ROWS, CAPTION_TOKENS, BATCH = 500_000, 20, 16


def number(text):
    units = {"k": 1000, "m": 1_000_000}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


def memory(rows, dtype):
    filled = torch.empty(rows, EMBEDDING, dtype=dtype)
    for first in range(0, rows, 50_000):
        count = min(50_000, rows - first)
        filled[first : first + count] = unit(count, EMBEDDING).to(dtype)
    return filled


def project(queries, rows):
    return F.normalize(torch.softmax(100 * (queries @ rows.T), -1) @ rows, dim=-1)


def pixels(path):
    """CLIP's preprocessing with Pillow."""
    photo = Image.open(path).convert("RGB")
    scale = 224 / min(photo.size)
    size = [round(side * scale) for side in photo.size]
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    photo = photo.resize(size, Image.BICUBIC).crop((left, top, left + 224, top + 224))
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    std = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    return torch.from_numpy(((np.asarray(photo, np.float32) / 255 - mean) / std).transpose(2, 0, 1))


def prepare(work, mode, variant, photo):
    """Gives the function to time."""
    dtype = torch.bfloat16 if mode == "bf16" else torch.float32
    cached = variant != "plain"

    if match := re.fullmatch(r"image_tower_b(\d+)", work):
        tower = ImageTower().eval().to(dtype)
        photos = torch.randn(int(match[1]), 3, 224, 224).to(dtype)
        return lambda: tower(photos)
    if match := re.fullmatch(r"text_tower_(\d+)x(\d+)", work):
        tower = TextTower().eval().to(dtype)
        texts, tokens = int(match[1]), int(match[2])
        ids = torch.zeros(texts, 77 if variant == "untrimmed" else tokens, dtype=torch.long)
        ids[:, :tokens] = torch.randint(1, 49_000, (texts, tokens))
        ids[:, tokens - 1] = 49_407
        return lambda: tower(ids)
    if match := re.fullmatch(r"decode_(\d+)(?:_b(\d+))?", work):
        decoder = Decoder().eval().to(dtype)
        tokens, prefixes = int(match[1]), unit(int(match[2] or 1), EMBEDDING).to(dtype)
        return lambda: decoder.generate(prefixes, tokens, cached)
    if match := re.fullmatch(r"train_step_(\d+)x(\d+)", work):
        return training(mode, int(match[1]), int(match[2]))
    if match := re.fullmatch(r"project_(\w+)_q(\d+)", work):
        rows = memory(number(match[1]), dtype)
        queries = unit(int(match[2]), EMBEDDING).to(dtype)
        return lambda: project(queries, rows)
    if match := re.fullmatch(r"photo_to_caption|photos_to_captions_(\d+)", work):
        tower, decoder = ImageTower().eval().to(dtype), Decoder().eval().to(dtype)
        rows = memory(MEMORY_ROWS, dtype)
        paths = [photo] * int(match[1] or 1)
        pool = ThreadPoolExecutor(THREADS)

        def caption():
            waiting = [pool.submit(pixels, path) for path in paths]
            for first in range(0, len(waiting), BATCH):
                batch = torch.stack([photo.result() for photo in waiting[first : first + BATCH]])
                embeddings = F.normalize(tower(batch.to(dtype)), dim=-1)
                prefixes = project(embeddings, rows)
                decoder.generate(prefixes.to(dtype), CAPTION_TOKENS, cached)

        return caption
    raise SystemExit(f"no such work: {work}")


def training(mode, captions, tokens):
    decoder = Decoder()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-5, eps=1e-6, weight_decay=0, fused=True)
    prefixes = unit(captions, EMBEDDING)
    ids = torch.randint(1, VOCABULARY, (captions, tokens))
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            read = torch.cat([decoder.prefix(prefixes)[:, None], decoder.tokens(ids[:, :-1])], 1)
            logits = decoder.logits(decoder.body(read))
            loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), ids.reshape(-1), label_smoothing=0.1)
        loss.backward()
        optimizer.step()

    return step


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--mode", choices=["f32", "bf16", "autocast"], required=True)
    arguments.add_argument("--variant", choices=["", "cached", "plain", "untrimmed"], default="")
    arguments.add_argument("--work", required=True)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--photo", default="")
    arguments = arguments.parse_args()
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    run = prepare(arguments.work, arguments.mode, arguments.variant, arguments.photo)
    is_training = arguments.work.startswith("train")
    context = contextlib.nullcontext if is_training else torch.inference_mode
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=arguments.mode == "autocast" and not is_training)
    times = []
    with context(), autocast:
        for _ in range(2):
            run()
        began = time.perf_counter()
        while len(times) < 5 or time.perf_counter() - began < arguments.seconds:
            started = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - started))
    record = {
        "work": arguments.work,
        "ms_median": statistics.median(times),
        "ms_min": min(times),
        "runs": len(times),
        "precision": arguments.mode,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "threads": THREADS,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
