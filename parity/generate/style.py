"""StyleGAN2 (Karras et al. 2020), written from the paper's description: networks and the first-order part of its objective.

Weights are drawn with deviation 1 and scaled to their fan-in when used. There is no path length penalty.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAPPING_RATE = 0.01


def leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2) * 2**0.5


def filter_1331(features: Tensor) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype) / 8
    return torch.outer(line, line).expand(features.shape[1], 1, 4, 4)


class Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))

    def forward(self, features: Tensor) -> Tensor:
        weight = self.weight * (self.rate / self.weight.shape[1] ** 0.5)
        return F.linear(features, weight, self.bias * self.rate)


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, features: Tensor, **options: int) -> Tensor:
        weight = self.weight / self.weight[0].numel() ** 0.5
        return F.conv2d(features, weight, self.bias, **options)


class Modulated(nn.Module):
    """One convolution a sample, with weights of its own: the paper's form, not the trick of scaling features."""

    def __init__(self, inputs: int, outputs: int, side: int, style: int, demodulates: bool) -> None:
        super().__init__()
        self.style = Dense(style, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.demodulates = demodulates

    def forward(self, features: Tensor, styles: Tensor, doubles: bool = False) -> Tensor:
        outputs = []
        for image, factors in zip(features, self.style(styles)):
            weight = self.weight / self.weight[0].numel() ** 0.5 * factors[None, :, None, None]
            if self.demodulates:
                weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
            if doubles:
                stamped = F.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2)
                outputs.append(F.conv2d(stamped, 4 * filter_1331(stamped), padding=1, groups=stamped.shape[1]))
            else:
                outputs.append(F.conv2d(image[None], weight, padding=weight.shape[2] // 2))
        return torch.cat(outputs)


class Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, True)
        self.strength, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor, styles: Tensor, noise: Tensor, doubles: bool) -> Tensor:
        return leaky(self.conv(features, styles, doubles) + noise * self.strength + self.bias[:, None, None])


class Block(nn.Module):
    def __init__(self, inputs: int | None, width: int, style: int, channels: int) -> None:
        super().__init__()
        self.doubling = None if inputs is None else Layer(inputs, width, style)
        self.keeping = Layer(width, width, style)
        self.picture = Modulated(width, channels, 1, style, False)
        self.picture_bias = nn.Parameter(torch.zeros(channels))


class Generator(nn.Module):
    def __init__(self, latent: int, style: int, mapping: int, widths: list[int], channels: int) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(Dense(latent if n == 0 else style, style, rate=MAPPING_RATE) for n in range(mapping))
        self.register_buffer("mean_style", torch.zeros(style))
        self.start = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.blocks = nn.ModuleList(Block(i, o, style, channels) for i, o in zip([None, *widths], widths))

    def forward(self, latents: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        styles = latents * torch.rsqrt(latents.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            styles = leaky(layer(styles))
        features, image, noise = self.start.expand(len(latents), -1, -1, -1), None, iter(noise)
        for block in self.blocks:
            if block.doubling is not None:
                features = block.doubling(features, styles, next(noise), True)
            features = block.keeping(features, styles, next(noise), False)
            picture = block.picture(features, styles) + block.picture_bias[:, None, None]
            if image is not None:
                image = F.conv_transpose2d(image, 4 * filter_1331(image), stride=2, padding=1, groups=image.shape[1])
            image = picture if image is None else image + picture
        return image, styles


class Halving(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.keeping, self.halving = Conv(inputs, inputs, 3), Conv(inputs, outputs, 3)
        self.skip = Conv(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        fixed = filter_1331(features)
        beside = self.skip(F.conv2d(features, fixed, stride=2, padding=1, groups=len(fixed)))
        branch = leaky(self.keeping(features, padding=1))
        branch = leaky(self.halving(F.conv2d(branch, fixed, padding=2, groups=len(fixed)), stride=2))
        return (branch + beside) / 2**0.5


class Discriminator(nn.Module):
    def __init__(self, widths: list[int], channels: int, group: int) -> None:
        super().__init__()
        falling = widths[::-1]
        self.group = group
        self.input = Conv(channels, falling[0], 1)
        self.blocks = nn.ModuleList(Halving(i, o) for i, o in zip(falling, falling[1:]))
        self.last = Conv(widths[0] + 1, widths[0], 3)
        self.hidden, self.output = Dense(widths[0] * 16, widths[0]), Dense(widths[0], 1)

    def forward(self, images: Tensor) -> Tensor:
        features = leaky(self.input(images))
        for block in self.blocks:
            features = block(features)
        groups = len(features) // self.group
        spread = features.unflatten(0, (self.group, groups))
        spread = (spread.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        channel = spread.repeat(self.group)[:, None, None, None].expand(-1, 1, *features.shape[2:])
        features = leaky(self.last(torch.cat([features, channel], 1), padding=1))
        return self.output(leaky(self.hidden(features.flatten(1)))).flatten()
