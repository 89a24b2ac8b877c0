"""The ways in which a user can ask PyTorch for speed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Variant:
    """`frozen` spares the discriminator's weight gradients in the generator's step; `fused` updates all parameters in one kernel.

    For a forward pass `fused` means that batch norm is folded into the convolution before it.
    """

    channels_last: bool = False
    frozen: bool = False
    fused: bool = False
    compiled: bool = False
    onnxruntime: bool = False

    def layout(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(memory_format=torch.channels_last) if self.channels_last and tensor.dim() == 4 else tensor

    def prepare(self, network: nn.Module) -> nn.Module:
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return torch.compile(network) if self.compiled else network

    def adam(self, network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, fused=self.fused)


VARIANTS = {
    "default": Variant(),
    "channels-last": Variant(channels_last=True),
    "tuned": Variant(channels_last=True, frozen=True, fused=True),
    "compiled": Variant(frozen=True, fused=True, compiled=True),
    "compiled-channels-last": Variant(channels_last=True, frozen=True, fused=True, compiled=True),
    "onnxruntime": Variant(onnxruntime=True),
}


class Unavailable(Exception):
    """This step does not exist in this variant; the message says why."""
