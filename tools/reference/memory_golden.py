#!/usr/bin/env python3
"""Golden files of the memory projection, computed by NumPy in float64.

    python memory_golden.py                 writes crates/decap/tests/data/projection.json
    python memory_golden.py --clip FOLDER   also writes projection_clip.json from real CLIP ViT-B/32
                                            embeddings (picsum_image_emb.npy, vg17k_text_emb_i8.npy
                                            and vg17k_text_emb_scale.npy in FOLDER)

NumPy 2.4.6. The formula is the reference's (DeCap, dhg-wei/DeCap, inference notebook):
w = softmax(M v / tau), p = sum w_i m_i / |sum w_i m_i|, tau = 1/100.
"""

import argparse
import json
from pathlib import Path

import numpy as np

TAU = 0.01
OUT = Path(__file__).resolve().parents[2] / "crates/decap/tests/data"
# A few of the 541 photos are committed, spread over the file: all of them would be a megabyte.
CLIP_PHOTOS = range(0, 541, 60)


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def project(memory, queries, tau=TAU):
    scores = queries @ memory.T / tau
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return unit(weights @ memory), weights


def top(weights, count):
    order = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    return [[[int(row), float(w[row])] for row in rows] for rows, w in zip(order, weights)]


def small():
    random = np.random.default_rng(7)
    memory = unit(random.standard_normal((200, 24))).astype(np.float32)
    queries = unit(random.standard_normal((5, 24))).astype(np.float32)
    projected, weights = project(memory.astype(np.float64), queries.astype(np.float64))
    golden = {
        "width": 24,
        "tau": TAU,
        "memory": memory.ravel().tolist(),
        "queries": queries.ravel().tolist(),
        "projected": projected.ravel().tolist(),
        "top": top(weights, 3),
    }
    (OUT / "projection.json").write_text(json.dumps(golden))


def clip(folder):
    scale = np.load(folder / "vg17k_text_emb_scale.npy").reshape(-1, 1)
    memory = np.load(folder / "vg17k_text_emb_i8.npy").astype(np.float64) * scale
    memory = unit(memory).astype(np.float32).astype(np.float64)
    photos = np.load(folder / "picsum_image_emb.npy").astype(np.float64)
    projected, weights = project(memory, unit(photos)[list(CLIP_PHOTOS)])
    golden = {
        "photos": list(CLIP_PHOTOS),
        "projected": [[round(float(x), 8) for x in row] for row in projected],
        "top": top(weights, 3),
    }
    (OUT / "projection_clip.json").write_text(json.dumps(golden))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path)
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    small()
    if arguments.clip:
        clip(arguments.clip)
