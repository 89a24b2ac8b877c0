"""R3GAN (Huang et al. 2025, arXiv 2501.05441), rewritten from the paper's description: networks and objective.

A residual block is 1x1 up to twice the width, bias, leaky ReLU 0.2, 3x3 in groups of 16 channels, bias, leaky ReLU, 1x1 back.
Those two biases are the only ones; there is no norm, no tanh, no mapping network. `widths` go from 4x4 to the full side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION, GROUP, SLOPE = 2, 16, 0.2
LEAKY_GAIN = (2 / (1 + SLOPE**2)) ** 0.5


def filter_1331(features: Tensor) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, one copy a channel, `[channels, 1, 4, 4]`."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype, device=features.device) / 8
    return torch.outer(line, line).expand(features.shape[1], 1, 4, 4)


def downsample(features: Tensor) -> Tensor:
    return F.conv2d(features, filter_1331(features), stride=2, padding=1, groups=features.shape[1])


def upsample(features: Tensor) -> Tensor:
    return F.conv_transpose2d(features, 4 * filter_1331(features), stride=2, padding=1, groups=features.shape[1])


def pointwise(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        self.expand = pointwise(width, wide, bias=True)
        self.mix = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // GROUP)
        self.project = pointwise(wide, width)

    def forward(self, features: Tensor) -> Tensor:
        branch = F.leaky_relu(self.expand(features), SLOPE)
        branch = F.leaky_relu(self.mix(branch), SLOPE)
        return features + self.project(branch)


class Stage(nn.Module):
    """Blocks at one side. `change` is the 1x1 that adapts the width of the neighbour, where it differs."""

    def __init__(self, width: int, blocks: int, inputs: int | None = None, outputs: int | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.change = None
        if inputs is not None and inputs != width:
            self.change = pointwise(inputs, width)
        if outputs is not None and outputs != width:
            self.change = pointwise(width, outputs)


class Generator(nn.Module):
    """Shapes: latents `[batch, latent]` to images `[batch, channels, side, side]` with side 4 * 2^(stages - 1)."""

    def __init__(self, latent: int, widths: list[int], blocks: int, channels: int) -> None:
        super().__init__()
        self.input = nn.Linear(latent, widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        before = [None, *widths]
        self.stages = nn.ModuleList(Stage(width, blocks, inputs=inputs) for inputs, width in zip(before, widths))
        self.output = pointwise(widths[-1], channels)

    def forward(self, latents: Tensor) -> Tensor:
        features = self.input(latents)[:, :, None, None] * self.basis
        for level, stage in enumerate(self.stages):
            if level > 0:
                features = features if stage.change is None else stage.change(features)
                features = upsample(features)
            for block in stage.blocks:
                features = block(features)
        return self.output(features)


class Discriminator(nn.Module):
    """Shapes: images `[batch, channels, side, side]` to logits `[batch]`. Its `stages.0` works at the full side."""

    def __init__(self, widths: list[int], blocks: int, channels: int) -> None:
        super().__init__()
        falling = widths[::-1]
        after = [*falling[1:], None]
        self.input = pointwise(channels, falling[0])
        self.stages = nn.ModuleList(Stage(width, blocks, outputs=outputs) for width, outputs in zip(falling, after))
        self.pool = nn.Conv2d(widths[0], widths[0], 4, groups=widths[0], bias=False)
        self.output = nn.Linear(widths[0], 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.input(images)
        for level, stage in enumerate(self.stages):
            for block in stage.blocks:
                features = block(features)
            if level + 1 < len(self.stages):
                features = downsample(features)
                features = features if stage.change is None else stage.change(features)
        return self.output(self.pool(features).flatten(1)).flatten()


def initialise_as_published(network: nn.Module) -> None:
    """std = gain / sqrt(fan_in); the first two convolutions of a block share the depth's damping, the third starts at zero."""
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in blocks:
        with torch.no_grad():
            block.expand.weight.mul_(LEAKY_GAIN * len(blocks) ** -0.25)
            block.mix.weight.mul_(LEAKY_GAIN * len(blocks) ** -0.25)
            block.project.weight.zero_()


def penalty(images: Tensor, logits: Tensor) -> Tensor:
    """Squared length of the gradient of each logit with respect to its image, `[batch]`. Differentiable once more."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, gamma: float) -> dict[str, Tensor]:
    """mean softplus(D(fake) - D(real)) + gamma / 2 mean(R1 + R2); pair i compares real image i with fake image i."""
    real = real.detach().requires_grad_()
    fake = fake.detach().requires_grad_()
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    r1, r2 = penalty(real, real_logits), penalty(fake, fake_logits)
    adversarial = F.softplus(fake_logits - real_logits).mean()
    penalties = gamma / 2 * (r1 + r2).mean()
    return {
        "real_logits": real_logits,
        "fake_logits": fake_logits,
        "r1": r1,
        "r2": r2,
        "adversarial": adversarial,
        "penalty": penalties,
        "loss": adversarial + penalties,
    }


def generator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """mean softplus(D(real) - D(fake))."""
    with torch.no_grad():
        real_logits = discriminator(real)
    fake_logits = discriminator(fake)
    return {"real_logits": real_logits, "fake_logits": fake_logits, "loss": F.softplus(real_logits - fake_logits).mean()}
