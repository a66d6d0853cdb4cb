"""Times ONNX Runtime on the towers of `decap bench`; arguments and output as those of torch_peer.py.

--mode f32 runs PyTorch's export, --mode int8 the same after `quantize_dynamic`. The files are kept in --cache.
"""

import argparse
import json
import os
import re
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))


def export(name, cache, mode):
    """The ONNX file of a tower, made where it is not there."""
    exact, rounded = cache / f"{name}.onnx", cache / f"{name}.int8.onnx"
    if not exact.exists():
        import torch

        from networks import ImageTower, TextTower

        torch.manual_seed(0)
        if name == "image_tower":
            tower, example = ImageTower().eval(), torch.randn(2, 3, 224, 224)
            dynamic = {0: torch.export.Dim("batch")}
        else:
            tower, example = TextTower().eval(), torch.randint(1, 49_000, (2, 16))
            dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=77)}
        cache.mkdir(parents=True, exist_ok=True)
        torch.onnx.export(tower, (example,), exact, input_names=["input"], dynamic_shapes=(dynamic,), dynamo=True)
    if mode == "int8" and not rounded.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(exact, rounded, weight_type=QuantType.QInt8, per_channel=True)
    return rounded if mode == "int8" else exact


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--mode", choices=["f32", "int8"], required=True)
    arguments.add_argument("--work", required=True)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--cache", type=Path, required=True)
    arguments = arguments.parse_args()
    random = np.random.default_rng(0)
    if match := re.fullmatch(r"image_tower_b(\d+)", arguments.work):
        name = "image_tower"
        given = random.standard_normal((int(match[1]), 3, 224, 224), np.float32)
    elif match := re.fullmatch(r"text_tower_(\d+)x(\d+)", arguments.work):
        name = "text_tower"
        given = random.integers(1, 49_000, (int(match[1]), int(match[2])))
        given[:, -1] = 49_407
    else:
        raise SystemExit(f"no such work: {arguments.work}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    file = export(name, arguments.cache, arguments.mode)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: given}
    times = []
    for _ in range(2):
        session.run(None, given)
    began = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < arguments.seconds:
        started = time.perf_counter()
        session.run(None, given)
        times.append(1e3 * (time.perf_counter() - started))
    record = {
        "work": arguments.work,
        "ms_median": statistics.median(times),
        "ms_min": min(times),
        "runs": len(times),
        "precision": arguments.mode,
        "kernels": "onnxruntime " + onnxruntime.__version__,
        "threads": THREADS,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
