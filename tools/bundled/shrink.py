"""Stores the weights of an ONNX model small: int8 a channel with DequantizeLinear, or f16 with Cast.

Arithmetic stays f32: a runtime that folds constants at load sees an ordinary f32 model.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 1024


def channel_axis(graph, name):
    """The axis of a weight along which each slice gets a scale of its own: one output channel, or one row."""
    for node in graph.node:
        if name in node.input:
            if node.op_type == "Conv" and node.input[1] == name:
                return 0
            if node.op_type == "Gather" and node.input[0] == name:
                return 0
            if node.op_type == "MatMul" and node.input[1] == name:
                return 1
            if node.op_type == "Gemm" and node.input[1] == name:
                by_row = any(a.name == "transB" and a.i for a in node.attribute)
                return 0 if by_row else 1
    return None


def quantise(weight, axis):
    """int8 and scales; each channel's scale is the one of 12 that errs least."""
    flat = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    largest = np.maximum(np.abs(flat).max(1), 1e-12)
    best_scale, best_error = largest / 127, np.full(len(flat), np.inf)
    for part in np.linspace(0.78, 1.0, 12):
        scale = part * largest / 127
        rounded = np.clip(np.round(flat / scale[:, None]), -127, 127) * scale[:, None]
        error = np.square(rounded - flat).sum(1)
        better = error < best_error
        best_scale, best_error = np.where(better, scale, best_scale), np.where(better, error, best_error)
    shape = [1] * weight.ndim
    shape[axis] = -1
    best_scale = best_scale.astype(np.float32)
    return np.clip(np.round(weight / best_scale.reshape(shape)), -127, 127).astype(np.int8), best_scale


def shrink(model, kind, keep_f16=lambda name: False):
    """A copy with weights of 1,024 numbers or more stored as `kind`: "int8" or "f16"."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, head = model.graph, []
    for tensor in list(graph.initializer):
        weight = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or weight.size < SMALLEST:
            continue
        axis = channel_axis(graph, tensor.name)
        name = tensor.name
        graph.initializer.remove(tensor)
        if kind == "int8" and axis is not None and not keep_f16(name):
            values, scales = quantise(weight, axis)
            zeros = np.zeros(len(scales), np.int8)
            for suffix, array in (("_int8", values), ("_scale", scales), ("_zero", zeros)):
                graph.initializer.append(numpy_helper.from_array(array, name + suffix))
            inputs = [name + "_int8", name + "_scale", name + "_zero"]
            head.append(helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
        else:
            graph.initializer.append(numpy_helper.from_array(weight.astype(np.float16), name + "_f16"))
            head.append(helper.make_node("Cast", [name + "_f16"], [name], to=TensorProto.FLOAT))
    nodes = head + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
