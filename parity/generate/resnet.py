"""Residual GANs of WGAN-GP (Gulrajani et al. 2017) and SNGAN (Miyato et al. 2018), with self-attention (Zhang et al. 2019), rewritten from
the papers' descriptions. Spectral norm is PyTorch's own `torch.nn.utils.spectral_norm`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, side: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)


def double(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="nearest")


class Attention(nn.Module):
    """x + gain * output(value(x) attended), queries and keys an eighth, values half of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        eighth, half = -(-channels // 8), -(-channels // 2)
        self.query = conv(channels, eighth, 1, bias=False)
        self.key = conv(channels, eighth, 1, bias=False)
        self.value = conv(channels, half, 1, bias=False)
        self.output = conv(half, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (layer(features).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(torch.einsum("bci,bcj->bij", query, key), dim=2)
        seen = torch.einsum("bij,bcj->bci", weights, value).reshape(len(value), -1, *features.shape[2:])
        return features + self.gain * self.output(seen)


class DoublingBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        branch = self.conv1(double(F.relu(self.norm1(features))))
        branch = self.conv2(F.relu(self.norm2(branch)))
        return branch + self.shortcut(double(features))


class Generator(nn.Module):
    """Latents to images of side 4 * 2^(len(widths) - 1). `attention_after` counts blocks from 1."""

    def __init__(self, latent: int, widths: list[int], channels: int, attention_after: int | None) -> None:
        super().__init__()
        self.input = nn.Linear(latent, widths[0] * 16)
        self.blocks = nn.ModuleList(DoublingBlock(i, o) for i, o in zip(widths, widths[1:]))
        self.attention_after = attention_after
        self.attention = None if attention_after is None else Attention(widths[attention_after])
        self.norm, self.output = nn.BatchNorm2d(widths[-1]), conv(widths[-1], channels, 3)

    def forward(self, latents: Tensor) -> Tensor:
        features = self.input(latents).unflatten(1, (-1, 4, 4))
        for index, block in enumerate(self.blocks, 1):
            features = block(features)
            if index == self.attention_after:
                features = self.attention(features)
        return torch.tanh(self.output(F.relu(self.norm(features))))


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, first: bool, halves: bool) -> None:
        super().__init__()
        inside = outputs if first else inputs
        self.first, self.halves = first, halves
        self.conv1, self.conv2 = conv(inputs, inside, 3), conv(inside, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1) if first or halves or inputs != outputs else None

    def forward(self, features: Tensor) -> Tensor:
        pool = (lambda x: F.avg_pool2d(x, 2)) if self.halves else (lambda x: x)
        adapt = (lambda x: x) if self.shortcut is None else self.shortcut
        branch = features if self.first else F.relu(features)
        branch = pool(self.conv2(F.relu(self.conv1(branch))))
        return branch + (adapt(pool(features)) if self.first else pool(adapt(features)))


class Discriminator(nn.Module):
    """Images to scores `[batch]`."""

    def __init__(self, channels: int, widths: list[int], halvings: int, attention_after: int | None) -> None:
        super().__init__()
        sizes = [channels, *widths]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(i, o, n == 0, n < halvings) for n, (i, o) in enumerate(zip(sizes, sizes[1:]))
        )
        self.attention_after = attention_after
        self.attention = None if attention_after is None else Attention(widths[attention_after - 1])
        self.output = nn.Linear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for index, block in enumerate(self.blocks, 1):
            features = block(features)
            if index == self.attention_after:
                features = self.attention(features)
        return self.output(F.relu(features).sum((2, 3))).flatten()


def add_spectral_norm(network: nn.Module) -> nn.Module:
    """One step of power iteration a training pass on every convolution and dense layer."""
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.utils.spectral_norm(module)
    return network
