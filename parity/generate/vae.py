"""Variational auto-encoders, written independently of the Rust ones: networks, evidence lower bound.

The loss is the negative ELBO in nats an image, averaged over the batch (Kingma and Welling 2013, equation 10):

    loss = reconstruction + beta * divergence
    reconstruction = -log p(x | z)                              summed over pixels and channels
    divergence     = 1/2 sum_j (mean_j^2 + exp(log_variance_j) - 1 - log_variance_j)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MlpEncoder(nn.Module):
    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(pixels, hidden)])
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(self.hidden[0](images))
        return self.mean(features), self.log_variance(features)


class MlpDecoder(nn.Module):
    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(latent, hidden)])
        self.output = nn.Linear(hidden, pixels)

    def forward(self, latents: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden[0](latents)))


class ConvBlock(nn.Module):
    """Convolution or transposed convolution without bias, batch norm, leaky ReLU 0.2."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(features)), 0.2)


class ConvEncoder(nn.Module):
    """Each block halves the side; the features are flattened in `[channels, height, width]` order."""

    def __init__(self, channels: int, side: int, widths: list[int], latent: int) -> None:
        super().__init__()
        sizes = [channels, *widths]
        self.blocks = nn.ModuleList(
            ConvBlock(nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False), o) for i, o in zip(sizes, sizes[1:])
        )
        features = widths[-1] * (side >> len(widths)) ** 2
        self.mean = nn.Linear(features, latent)
        self.log_variance = nn.Linear(features, latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = images
        for block in self.blocks:
            features = block(features)
        features = features.flatten(1)
        return self.mean(features), self.log_variance(features)


class ConvDecoder(nn.Module):
    """The mirror image: linear, then transposed convolutions that double the side; the last one has a bias and no norm."""

    def __init__(self, channels: int, side: int, widths: list[int], latent: int) -> None:
        super().__init__()
        self.shape = (widths[-1], side >> len(widths), side >> len(widths))
        self.input = nn.Linear(latent, math.prod(self.shape))

        def up(i: int, o: int, bias: bool) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1, bias=bias)

        falling = widths[::-1]
        self.blocks = nn.ModuleList(ConvBlock(up(i, o, False), o) for i, o in zip(falling, falling[1:]))
        self.output = up(widths[0], channels, True)

    def forward(self, latents: Tensor) -> Tensor:
        features = self.input(latents).unflatten(1, self.shape)
        for block in self.blocks:
            features = block(features)
        return self.output(features)


class Vae(nn.Module):
    """With `learned_sigma`, `observation.log_sigma` `[1]` is the logarithm of the Gaussian likelihood's standard deviation, one for all pixels."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, learned_sigma: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.observation = nn.ParameterDict({"log_sigma": torch.zeros(1)} if learned_sigma else {})

    def forward(self, images: Tensor, noise: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(images)
        latents = mean + torch.exp(0.5 * log_variance) * noise
        return {"mean": mean, "log_variance": log_variance, "latents": latents, "decoded": self.decoder(latents)}


class ConditionalVae(Vae):
    """p(x|z, c) and q(z|x, c) for a class c (Sohn et al. 2015): the encoder sees one more channel, a learned plane for each class,
    the decoder a one-hot vector after the latent. `plane` is the number of pixels of a channel."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, classes: int, plane: int) -> None:
        super().__init__(encoder, decoder)
        self.condition = nn.ModuleDict({"plane": nn.Linear(classes, plane, bias=False)})
        self.classes = classes

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor) -> dict[str, Tensor]:
        told = F.one_hot(labels, self.classes).to(images.dtype)
        plane = self.condition["plane"](told).view(len(images), 1, *images.shape[2:]) if images.dim() == 4 else self.condition["plane"](told)
        mean, log_variance = self.encoder(torch.cat([images, plane], 1))
        latents = mean + torch.exp(0.5 * log_variance) * noise
        decoded = self.decoder(torch.cat([latents, told], 1))
        return {"mean": mean, "log_variance": log_variance, "latents": latents, "decoded": decoded}


def conditional_vae_mlp(pixels: int, hidden: int, latent: int, classes: int) -> Vae:
    encoder, decoder = MlpEncoder(2 * pixels, hidden, latent), MlpDecoder(pixels, hidden, latent + classes)
    return ConditionalVae(encoder, decoder, classes, pixels)


def conditional_vae_conv(channels: int, side: int, widths: list[int], latent: int, classes: int) -> Vae:
    encoder, decoder = ConvEncoder(channels + 1, side, widths, latent), ConvDecoder(channels, side, widths, latent + classes)
    return ConditionalVae(encoder, decoder, classes, side * side)


def vae_mlp(pixels: int, hidden: int, latent: int, learned_sigma: bool = False) -> Vae:
    return Vae(MlpEncoder(pixels, hidden, latent), MlpDecoder(pixels, hidden, latent), learned_sigma)


def vae_conv(channels: int, side: int, widths: list[int], latent: int) -> Vae:
    return Vae(ConvEncoder(channels, side, widths, latent), ConvDecoder(channels, side, widths, latent))


def bernoulli(decoded: Tensor, images: Tensor) -> Tensor:
    """-log p of pixels in [0, 1] under logits, `[batch]`; for gray values the cross-entropy, not a true likelihood."""
    return F.binary_cross_entropy_with_logits(decoded, images, reduction="none").flatten(1).sum(1)


def gaussian(log_sigma: Tensor | float):
    """-log p of pixels under a Gaussian with mean `decoded` and one standard deviation for all pixels, `[batch]`."""

    def negative_log_likelihood(decoded: Tensor, images: Tensor) -> Tensor:
        log_width = torch.as_tensor(log_sigma, dtype=decoded.dtype)
        each = 0.5 * ((images - decoded) * torch.exp(-log_width)) ** 2 + log_width + 0.5 * math.log(2 * math.pi)
        return each.flatten(1).sum(1)

    return negative_log_likelihood


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each latent dimension, `[batch, latent]`."""
    return 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance)


def negative_elbo(result: dict[str, Tensor], images: Tensor, likelihood, beta: float) -> dict[str, Tensor]:
    """Adds the loss and its parts, all averaged over the batch."""
    each = divergence(result["mean"], result["log_variance"])
    reconstruction = likelihood(result["decoded"], images).mean()
    return result | {
        "reconstruction": reconstruction,
        "divergence_per_dimension": each.mean(0),
        "divergence": each.sum(1).mean(),
        "loss": reconstruction + beta * each.sum(1).mean(),
    }
