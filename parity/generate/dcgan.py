"""DCGAN as PyTorch's own example builds it (Radford, Metz and Chintala 2015), for any side `smallest` * 2^n.

`smallest` is the side after the generator's first and before the discriminator's last convolution: 4 in the example.

The example is github.com/pytorch/examples, `dcgan/main.py`: no biases in convolutions, batch norm everywhere but at the generator's
output and at both ends of the discriminator, three separate passes of the discriminator in a step (real, fake, fake again
after its own update).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GeneratorBlock(nn.Module):
    def __init__(self, conv: nn.ConvTranspose2d, outputs: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(features)))


class Generator(nn.Module):
    """`widths` are the channels at the smallest side, twice that, ...; the output doubles the side once more.

    Shapes: latents `[batch, latent]` to images `[batch, channels, side, side]` in [-1, 1].
    """

    def __init__(self, latent: int, widths: list[int], channels: int, smallest: int = 4) -> None:
        super().__init__()
        # From the latent, seen as one pixel, to the smallest side; afterwards twice the side.
        convs = [nn.ConvTranspose2d(latent, widths[0], smallest, bias=False)]
        convs += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False) for i, o in zip(widths, widths[1:])]
        self.blocks = nn.ModuleList(GeneratorBlock(conv, o) for conv, o in zip(convs, widths))
        self.output = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        features = latents[:, :, None, None]
        for block in self.blocks:
            features = block(features)
        return torch.tanh(self.output(features))


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs) if normalised else None

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        return F.leaky_relu(features if self.norm is None else self.norm(features), 0.2)


class Discriminator(nn.Module):
    """`widths` are the channels at half the side, a quarter, ... down to the smallest. Returns logits `[batch]`."""

    def __init__(self, channels: int, widths: list[int], smallest: int = 4) -> None:
        super().__init__()
        sizes = [channels, *widths]
        self.blocks = nn.ModuleList(DiscriminatorBlock(i, o, n > 0) for n, (i, o) in enumerate(zip(sizes, sizes[1:])))
        self.output = nn.Conv2d(widths[-1], 1, smallest, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for block in self.blocks:
            features = block(features)
        return self.output(features).flatten()


def published_widths(side: int, width: int, smallest: int = 4) -> list[int]:
    """The example's channels for `ndf = width`, from half the side down; at 64 pixels 64, 128, 256, 512."""
    return [width << level for level in range((side // smallest).bit_length() - 1)]


def initialise_as_published(network: nn.Module) -> None:
    """Weights N(0, 0.02), scales of batch norm N(1, 0.02), shifts zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def discriminator_loss(logits: Tensor, is_real: bool) -> Tensor:
    """Binary cross-entropy against "real" or "fake", averaged over the batch."""
    target = torch.full_like(logits, 1.0 if is_real else 0.0)
    return F.binary_cross_entropy_with_logits(logits, target)


def non_saturating(fake_logits: Tensor) -> Tensor:
    """-mean log D(G(z)): what the example, and nearly everyone, minimises."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def minimax(fake_logits: Tensor) -> Tensor:
    """mean log(1 - D(G(z))): the generator's side of the game as published (Goodfellow et al. 2014, equation 1)."""
    return -F.softplus(fake_logits).mean()
