"""Image towers as ONNX: the plain ImageNet network for parity tests, and the distilled tower of the bundle.

Batch norms are folded into the convolutions, TensorFlow's padding into their pads; ReLU6 is Clip.
"""

import argparse
import json
import os
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from network import SUM_FLOOR, Back, Front, convolve_same, load_imagenet
from shrink import shrink


class Classifier(nn.Module):
    """`[batch, 3, side, side]` to `logits [batch, 1000]` and `pooled [batch, 1280]`."""

    def __init__(self, net):
        super().__init__()
        self.front, self.back = Front(net), Back(net, 1, 1)

    def forward(self, pixels):
        c5 = self.back.late(self.back.middle(self.front(pixels)))
        pooled = F.relu6(self.back.head(c5)).mean((2, 3))
        return self.back.classes(pooled), pooled


class Tower(nn.Module):
    """`[batch, 3, side, side]` to `features [batch, 1280 + 3 * 80]`: pooled, strongest, total, salience."""

    def __init__(self, net, back):
        super().__init__()
        self.front, self.back = Front(net), back

    def forward(self, pixels):
        top, things = self.back.maps(self.front(pixels))
        heat, size = things[:, :80], things[:, 80:]
        total = (heat.sigmoid().sum((2, 3)) + SUM_FLOOR).log()
        return torch.cat([top.mean((2, 3)), heat.amax((2, 3)), total, size.amax((2, 3))], 1)


class Pooled(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.both = Classifier(net)

    def forward(self, pixels):
        return self.both(pixels)[1]


def fold_gains(module):
    """Multiplies each frozen batch norm's gain into its weight, so that the graph has plain convolutions."""
    for part in module.modules():
        if hasattr(part, "gain"):
            part.weight.data *= part.gain.data[:, None, None, None]
            part.gain.data.fill_(1.0)
            part.forward = plain_forward.__get__(part)
    return module.eval()


def plain_forward(self, x):
    return convolve_same(x, self.weight, self.bias, self.stride, self.groups)


def pads_into_convolutions(model):
    """Pad followed by Conv becomes Conv with uneven pads."""
    graph = model.graph
    constants = {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    constants |= {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    made_by = {n.output[0]: n for n in graph.node}
    for node in list(graph.node):
        source = made_by.get(node.input[0]) if node.op_type == "Conv" else None
        if source is None or source.op_type != "Pad":
            continue
        pads = constants[source.input[1]]
        del node.attribute[[a.name for a in node.attribute].index("pads")]
        node.attribute.append(onnx.helper.make_attribute("pads", [int(p) for p in (*pads[2:4], *pads[6:8])]))
        node.input[0] = source.input[0]
        graph.node.remove(source)
    used = {i for n in graph.node for i in n.input}
    for node in list(graph.node):
        if node.op_type == "Constant" and node.output[0] not in used:
            graph.node.remove(node)
    onnx.checker.check_model(model)
    return model


def export(module, side, path, outputs):
    axes = {n: {0: "batch"} for n in ["pixels", *outputs]}
    pixels = torch.zeros(2, 3, side, side)
    torch.onnx.export(
        module, (pixels,), path, input_names=["pixels"], output_names=outputs, dynamic_axes=axes, opset_version=17, dynamo=False
    )
    model = onnx.load(path)
    model = pads_into_convolutions(constant_pads(model))
    onnx.save(model, path)
    return model


def constant_pads(model):
    """Computes once the small constant chains that the tracer leaves in front of Pad."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = os.path.join(folder, "folded.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        return onnx.load(options.optimized_model_filepath)


def recipe(path, side, outputs, resize):
    return {
        "file": os.path.basename(path),
        "bytes": os.path.getsize(path),
        "input": {"name": "pixels", "shape": ["batch", 3, side, side], "dtype": "f32", "channels": "RGB"},
        "resize": resize,
        "filter": "bicubic, antialias (Pillow)",
        "mean_255": [127.0] * 3,
        "std_255": [128.0] * 3,
        "mean": [127.0 / 255] * 3,
        "std": [128.0 / 255] * 3,
        "outputs": outputs,
    }


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=1)


def same(path, other, side):
    """Smallest cosine between the outputs of two models on noise-free smooth pictures."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.normal(0, 0.6, (4, 3, side // 32, side // 32)), np.ones((32, 32))).astype(np.float32)
    a, b = (onnxruntime.InferenceSession(p).run(None, {"pixels": pixels})[0] for p in (path, other))
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--what", choices=("classifier", "pooled", "tower"), required=True)
    parser.add_argument("--net", default="lite0")
    parser.add_argument("--side", type=int, default=288)
    parser.add_argument("--checkpoint", help="last.pt of distil.py, for the tower")
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = load_imagenet(args.net)
    path = os.path.join(args.out, args.name + ".onnx")
    if args.what == "classifier":
        module, outputs = Classifier(net), {"logits": 1000, "pooled": 1280}
        resize = "shortest side to the input side, centre crop"
    elif args.what == "pooled":
        module, outputs, resize = Pooled(net), {"features": 1280}, "squash to the square"
    else:
        state = torch.load(args.checkpoint, weights_only=False)
        back = Back(net, state["args"]["num_words"], state["args"]["joint_width"])
        back.load_state_dict(state["average"])
        module, outputs, resize = Tower(net, back), {"features": 1280 + 240}, "squash to the square"
    module = fold_gains(module.eval())
    with torch.no_grad():
        pixels = torch.rand(2, 3, args.side, args.side) * 2 - 1
        want = module(pixels)
        want = (want[0] if isinstance(want, tuple) else want).numpy()
        model = export(module, args.side, path, list(outputs))
    got = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels.numpy()})[0]
    print("largest difference to PyTorch", np.abs(got - want).max(), sorted({n.op_type for n in model.graph.node}))
    write_json(path[:-5] + ".json", recipe(path, args.side, outputs, resize))
    if args.what != "classifier":
        for kind in ("f16", "int8"):
            small = path[:-5] + f"_{kind}.onnx"
            onnx.save(shrink(model, kind), small)
            print(kind, os.path.getsize(small), "cosine", same(path, small, args.side))
            write_json(small[:-5] + ".json", recipe(small, args.side, outputs, resize))


if __name__ == "__main__":
    main()
