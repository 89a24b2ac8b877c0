"""Whole training steps: each function builds one and returns it as a closure, with the number of images that it sees."""

from __future__ import annotations

import dcgan
import r3gan
import torch
import vae
from torch import nn
from variant import Unavailable, Variant


def require_gradients(network: nn.Module, wanted: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(wanted)


def train_dcgan(variant: Variant, side: int, channels: int, smallest: int, width: int = 64, latent: int = 100, batch: int = 64):
    widths = dcgan.published_widths(side, width, smallest)
    generator = dcgan.Generator(latent, widths[::-1], channels, smallest)
    discriminator = dcgan.Discriminator(channels, widths, smallest)
    for network in (generator, discriminator):
        dcgan.initialise_as_published(network)
    generator, discriminator = variant.prepare(generator), variant.prepare(discriminator)
    adam_g, adam_d = (variant.adam(network, 2e-4, (0.5, 0.999)) for network in (generator, discriminator))
    real = variant.layout(torch.rand(batch, channels, side, side) * 2 - 1)

    def step() -> None:
        adam_d.zero_grad()
        dcgan.discriminator_loss(discriminator(real), True).backward()
        fake = generator(torch.randn(batch, latent))
        dcgan.discriminator_loss(discriminator(fake.detach()), False).backward()
        adam_d.step()
        adam_g.zero_grad()
        if variant.frozen:
            require_gradients(discriminator, False)
        dcgan.non_saturating(discriminator(fake)).backward()
        if variant.frozen:
            require_gradients(discriminator, True)
        adam_g.step()

    return step, batch


def train_vae(variant: Variant, network: nn.Module, shape: tuple[int, ...], latent: int, batch: int):
    network = variant.prepare(network)
    adam = variant.adam(network, 1e-3, (0.9, 0.999))
    images = variant.layout(torch.rand(batch, *shape))

    def step() -> None:
        adam.zero_grad()
        result = vae.negative_elbo(network(images, torch.randn(batch, latent)), images, vae.bernoulli, 1.0)
        result["loss"].backward()
        adam.step()

    return step, batch


def train_r3gan(variant: Variant, widths: list[int], batch: int = 16, latent: int = 64, gamma: float = 2.0):
    if variant.compiled:
        raise Unavailable("torch.compile cannot differentiate twice, and R1 and R2 need that")
    generator, discriminator = r3gan.Generator(latent, widths, 2, 3), r3gan.Discriminator(widths, 2, 3)
    for network in (generator, discriminator):
        r3gan.initialise_as_published(network)
    generator, discriminator = variant.prepare(generator), variant.prepare(discriminator)
    adam_g, adam_d = (variant.adam(network, 2e-4, (0.0, 0.9)) for network in (generator, discriminator))
    side = 4 << (len(widths) - 1)
    real = variant.layout(torch.rand(batch, 3, side, side) * 2 - 1)

    def step() -> None:
        with torch.no_grad():
            fake = generator(torch.randn(batch, latent))
        adam_d.zero_grad()
        r3gan.discriminator_loss(discriminator, real, fake, gamma)["loss"].backward()
        adam_d.step()
        adam_g.zero_grad()
        if variant.frozen:
            require_gradients(discriminator, False)
        r3gan.generator_loss(discriminator, real, generator(torch.randn(batch, latent)))["loss"].backward()
        if variant.frozen:
            require_gradients(discriminator, True)
        adam_g.step()

    return step, batch


STEPS = {
    "dcgan64": lambda variant: train_dcgan(variant, side=64, channels=3, smallest=4),
    "dcgan8": lambda variant: train_dcgan(variant, side=8, channels=1, smallest=4),
    "dcgan8-from-2": lambda variant: train_dcgan(variant, side=8, channels=1, smallest=2),
    "vae-conv64": lambda variant: train_vae(variant, vae.vae_conv(3, 64, [32, 64, 128, 256], 128), (3, 64, 64), 128, 64),
    "vae-mlp": lambda variant: train_vae(variant, vae.vae_mlp(784, 400, 20), (784,), 20, 128),
    "r3gan64": lambda variant: train_r3gan(variant, [256, 256, 256, 128, 64]),
}
