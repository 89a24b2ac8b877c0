"""A dense GAN (Goodfellow et al. 2014, with ReLU and leaky ReLU where the paper has maxout)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def dense(inputs: int, hidden: list[int], outputs: int) -> tuple[nn.ModuleList, nn.Linear]:
    sizes = [inputs, *hidden]
    return nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes, sizes[1:])), nn.Linear(sizes[-1], outputs)


class Generator(nn.Module):
    """Latents `[batch, latent]` to images `[batch, *shape]` in [-1, 1]."""

    def __init__(self, latent: int, hidden: list[int], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.hidden, self.output = dense(latent, hidden, math.prod(shape))

    def forward(self, latents: Tensor) -> Tensor:
        features = latents
        for layer in self.hidden:
            features = F.relu(layer(features))
        return torch.tanh(self.output(features)).unflatten(1, self.shape)


class Discriminator(nn.Module):
    """Images `[batch, *shape]` to logits `[batch]`."""

    def __init__(self, hidden: list[int], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden, self.output = dense(math.prod(shape), hidden, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        for layer in self.hidden:
            features = F.leaky_relu(layer(features), 0.2)
        return self.output(features).flatten()
