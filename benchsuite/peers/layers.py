"""Single operations at the shapes in which the training steps spend their time, each direction by itself.

Names are `<operation>-<geometry>:<direction>`. `conv-k4s2-64-128-at32:weight-gradient` is a 4x4 convolution of stride 2, padding 1, from 64
to 128 channels on images of 32x32 (the larger side, also for `convt`, the transposed convolution, whose input is half as large).
"""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F
from variant import Unavailable, Variant

DIRECTIONS = {"forward": None, "input-gradient": [True, False, False], "weight-gradient": [False, True, False]}

# name: (batch, input channels, output channels, side, kernel, stride, groups, transposed)
CONVOLUTIONS = {
    "conv-k4s2-3-64-at64": (64, 3, 64, 64, 4, 2, 1, False),
    "conv-k4s2-64-128-at32": (64, 64, 128, 32, 4, 2, 1, False),
    "conv-k4s2-128-256-at16": (64, 128, 256, 16, 4, 2, 1, False),
    "conv-k4s2-256-512-at8": (64, 256, 512, 8, 4, 2, 1, False),
    "convt-k4s2-512-256-at8": (64, 512, 256, 8, 4, 2, 1, True),
    "convt-k4s2-128-64-at32": (64, 128, 64, 32, 4, 2, 1, True),
    "convt-k4s2-64-3-at64": (64, 64, 3, 64, 4, 2, 1, True),
    "conv-k3s2-32-64-at32": (64, 32, 64, 32, 3, 2, 1, False),
    "conv-k3s1-64-64-at32": (64, 64, 64, 32, 3, 1, 1, False),
    "conv-k3s1-256-256-at8": (64, 256, 256, 8, 3, 1, 1, False),
    "conv-k1s1-256-512-at16": (16, 256, 512, 16, 1, 1, 1, False),
    "conv-k3s1-512-512-at16-groups32": (16, 512, 512, 16, 3, 1, 32, False),
    "conv-k3s1-128-128-at64-groups8": (16, 128, 128, 64, 3, 1, 8, False),
    "conv-k4s2-256-256-at32-depthwise": (16, 256, 256, 32, 4, 2, 256, False),
}


def convolution(variant: Variant, geometry: tuple, direction: str):
    batch, inputs, outputs, side, kernel, stride, groups, transposed = geometry
    padding = (kernel - 1) // 2
    input_side = side // stride if transposed else side
    output_side = side if transposed else side // stride
    images = variant.layout(torch.randn(batch, inputs, input_side, input_side))
    sizes = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    weight = variant.layout(torch.randn(*sizes, kernel, kernel))
    cotangent = variant.layout(torch.randn(batch, outputs, output_side, output_side))
    geometry = ([stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], groups)
    if DIRECTIONS[direction] is None:
        return lambda: torch.ops.aten.convolution(images, weight, None, *geometry), batch
    wanted = DIRECTIONS[direction]
    return lambda: torch.ops.aten.convolution_backward(cotangent, images, weight, None, *geometry, wanted), batch


def batch_norm(variant: Variant):
    """Training mode with leaky ReLU, forward and backward, `[64, 128, 32, 32]`."""
    features = variant.layout(torch.randn(64, 128, 32, 32)).requires_grad_()
    norm = variant.prepare(torch.nn.Sequential(torch.nn.BatchNorm2d(128), torch.nn.LeakyReLU(0.2)))
    cotangent = variant.layout(torch.randn(64, 128, 32, 32))

    def step() -> None:
        features.grad = None
        norm.zero_grad()
        norm(features).backward(cotangent)

    return step, 64


def linear(variant: Variant):
    """784 to 400, batch 128, forward and both gradients."""
    images = torch.randn(128, 784, requires_grad=True)
    layer = variant.prepare(torch.nn.Linear(784, 400))
    cotangent = torch.randn(128, 400)

    def step() -> None:
        images.grad = None
        layer.zero_grad()
        layer(images).backward(cotangent)

    return step, 128


def upsample(variant: Variant):
    """[1, 3, 3, 1] from 16x16 to 32x32, `[16, 256, 16, 16]`, forward only."""
    features = variant.layout(torch.randn(16, 256, 16, 16))
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = torch.outer(line, line).expand(256, 1, 4, 4).contiguous()
    return lambda: F.conv_transpose2d(features, kernel, stride=2, padding=1, groups=256), 16


def adam(variant: Variant):
    """One update of 3.6 million parameters in the shapes of DCGAN-64's generator."""
    shapes = [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4), (512,), (512,), (256,), (256,)]
    layer = torch.nn.ParameterList(torch.nn.Parameter(torch.randn(shape)) for shape in shapes)
    for parameter in layer:
        parameter.grad = torch.randn_like(parameter)
    optimizer = variant.adam(layer, 2e-4, (0.5, 0.999))
    return optimizer.step, 1


def without_compiler(build):
    """Single operations leave a compiler nothing to fuse, and ONNX Runtime no step to run."""

    def guarded(variant: Variant):
        if variant.compiled or variant.onnxruntime:
            raise Unavailable("single operations are measured in PyTorch's own kernels only")
        return build(variant)

    return guarded


STEPS = {
    f"{name}:{direction}": without_compiler(partial(convolution, geometry=geometry, direction=direction))
    for name, geometry in CONVOLUTIONS.items()
    for direction in DIRECTIONS
} | {
    "batch-norm-leaky-relu-128-at32:both": without_compiler(batch_norm),
    "linear-784-400:both": without_compiler(linear),
    "upsample-1331-256-at16:forward": without_compiler(upsample),
    "adam-3.6m:update": without_compiler(adam),
}
