"""Inception v3 up to its pooled features, as the scores of the field use it (Szegedy et al. 2015, arXiv 1512.00567; Heusel et al. 2017).

299x299 images to 2048 features. Where it differs from torchvision's classifier: average pools of 3x3 divide by the pixels that they
cover, and the last block's pool takes the maximum. Random weights, of a size that keeps the activations' scale through all layers: only
the speed is of interest here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Module):
    """Convolution without bias, batch norm with epsilon 1e-3, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | tuple[int, int] = 0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(features)))


class Branches(nn.Module):
    """Runs branches side by side and joins their channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.branches], 1)


def chain(inputs: int, *layers: tuple) -> nn.Sequential:
    """Convolutions in a row, each given as `(outputs, kernel, stride, padding)`."""
    modules = []
    for outputs, *geometry in layers:
        modules.append(Conv(inputs, outputs, *geometry))
        inputs = outputs
    return nn.Sequential(*modules)


WIDE, TALL = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))


def average_then(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Conv(inputs, outputs, 1))


def block_a(inputs: int, pooled: int) -> Branches:
    """35x35."""
    return Branches(
        chain(inputs, (64, 1)),
        chain(inputs, (48, 1), (64, 5, 1, 2)),
        chain(inputs, (64, 1), (96, 3, 1, 1), (96, 3, 1, 1)),
        average_then(inputs, pooled),
    )


def block_b(inputs: int) -> Branches:
    """35x35 to 17x17."""
    return Branches(
        chain(inputs, (384, 3, 2)),
        chain(inputs, (64, 1), (96, 3, 1, 1), (96, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def block_c(inputs: int, narrow: int) -> Branches:
    """17x17, 7x7 convolutions as 1x7 and 7x1."""
    return Branches(
        chain(inputs, (192, 1)),
        chain(inputs, (narrow, 1), (narrow, *WIDE), (192, *TALL)),
        chain(inputs, (narrow, 1), (narrow, *TALL), (narrow, *WIDE), (narrow, *TALL), (192, *WIDE)),
        average_then(inputs, 192),
    )


def block_d(inputs: int) -> Branches:
    """17x17 to 8x8."""
    return Branches(
        chain(inputs, (192, 1), (320, 3, 2)),
        chain(inputs, (192, 1), (192, *WIDE), (192, *TALL), (192, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def block_e(inputs: int, pool: nn.Module) -> Branches:
    """8x8; 3x3 convolutions split into 1x3 beside 3x1."""

    def split(width: int) -> Branches:
        return Branches(Conv(width, 384, (1, 3), 1, (0, 1)), Conv(width, 384, (3, 1), 1, (1, 0)))

    return Branches(
        chain(inputs, (320, 1)),
        nn.Sequential(Conv(inputs, 384, 1), split(384)),
        nn.Sequential(*chain(inputs, (448, 1), (384, 3, 1, 1)), split(384)),
        nn.Sequential(pool, Conv(inputs, 192, 1)),
    )


def inception_v3() -> nn.Sequential:
    """Images `[batch, 3, 299, 299]` to features `[batch, 2048]`."""
    return nn.Sequential(
        *chain(3, (32, 3, 2), (32, 3), (64, 3, 1, 1)),
        nn.MaxPool2d(3, 2),
        *chain(64, (80, 1), (192, 3)),
        nn.MaxPool2d(3, 2),
        block_a(192, 32),
        block_a(256, 64),
        block_a(288, 64),
        block_b(288),
        block_c(768, 128),
        block_c(768, 160),
        block_c(768, 160),
        block_c(768, 192),
        block_d(768),
        block_e(1280, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        block_e(2048, nn.MaxPool2d(3, 1, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
