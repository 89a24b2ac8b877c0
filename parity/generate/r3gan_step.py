"""One R3GAN step with exact R1 and R2 penalties, by PyTorch's double backward, in f64 and f32.

16x16x3, widths 16, 16, 8 from 4x4 up, one block a stage, latent 8, batch 4, gamma 4. The discriminator's step and the generator's are
apart: both start from the same weights, each on images and latents of its own.

All weights are random, also the last convolution of each block, which training starts at zero: a zero would hide mistakes behind it.

Tensors (see `fixture.py` for the naming of precisions; parameters are `generator.<name>` and `discriminator.<name>`, e.g.
`generator.stages.1.blocks.0.mix.weight`; `stages` are in order of computation, so `discriminator.stages.0` works at the full side;
`stages.<n>.change.weight` exists where the width changes: before the upsampling into generator stage n, after the downsampling
out of discriminator stage n):

- `weight.<parameter>`
- `input.discriminator.{real,latents}`, `input.generator.{real,latents}`: `[4, 3, 16, 16]` and `[4, 8]`
- `f64.` and `f32.`:
  - `discriminator.fake` `[4, 3, 16, 16]`; `discriminator.{real_logits,fake_logits,r1,r2}` `[4]`, where `r1` and `r2` are squared lengths of the input
    gradient before the factor gamma / 2; `discriminator.{adversarial,penalty,loss}` (scalars; `penalty` includes gamma / 2)
  - `discriminator.input_gradient.{real,fake}` `[4, 3, 16, 16]`: of the summed logits
  - `gradient.discriminator.<name>` of `loss`; `penalty_gradient.discriminator.<name>` of `penalty` alone
  - `generator.fake`, `generator.{real_logits,fake_logits}`, `generator.loss`; `gradient.generator.<name>`

A parameter that the penalty does not reach (all biases: leaky ReLU has no second derivative) has a zero penalty gradient.
"""

import torch
from fixture import PRECISIONS, Fixture, begin, gradients_of, load, redraw, weights_of
from r3gan import Discriminator, Generator, discriminator_loss, generator_loss

SEED, BATCH, LATENT, GAMMA, WIDTHS = 61, 4, 8, 4.0, [16, 16, 8]

draws = begin(SEED)


def build():
    return {"generator": Generator(LATENT, WIDTHS, 1, 3), "discriminator": Discriminator(WIDTHS, 1, 3)}


start = {}
for owner, network in build().items():
    redraw(network, draws)
    start[owner] = {key: value.clone() for key, value in weights_of(network).items()}
inputs = {
    owner: {
        "real": torch.randn(BATCH, 3, 16, 16, generator=draws).clamp(-1, 1),
        "latents": torch.randn(BATCH, LATENT, generator=draws),
    }
    for owner in ("discriminator", "generator")
}

fixture = Fixture(
    "r3gan_step",
    SEED,
    "one R3GAN step at 16x16x3 with R1 and R2 by double backward",
    gamma=GAMMA,
    widths=WIDTHS,
)
for owner in start:
    fixture.put_all(f"weight.{owner}", start[owner])
    fixture.put_all(f"input.{owner}", inputs[owner])

for precision, dtype in PRECISIONS.items():
    networks = {owner: network.to(dtype) for owner, network in build().items()}
    for owner, network in networks.items():
        load(network, start[owner])
    generator, discriminator = networks["generator"], networks["discriminator"]

    real, latents = (inputs["discriminator"][name].to(dtype) for name in ("real", "latents"))
    fake = generator(latents).detach()
    result = discriminator_loss(discriminator, real, fake, GAMMA)
    fixture.put(f"{precision}.discriminator.fake", fake)
    fixture.put_all(f"{precision}.discriminator", result)
    for name, images in (("real", real), ("fake", fake)):
        images = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(images).sum(), images)
        fixture.put(f"{precision}.discriminator.input_gradient.{name}", gradient)

    result["penalty"].backward(retain_graph=True)
    for name, parameter in discriminator.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        fixture.put(f"{precision}.penalty_gradient.discriminator.{name}", gradient)
    discriminator.zero_grad()
    result["loss"].backward()
    fixture.put_all(f"{precision}.gradient.discriminator", gradients_of(discriminator))

    real, latents = (inputs["generator"][name].to(dtype) for name in ("real", "latents"))
    fake = generator(latents)
    result = generator_loss(discriminator, real, fake)
    result["loss"].backward()
    fixture.put(f"{precision}.generator.fake", fake)
    fixture.put_all(f"{precision}.generator", result)
    fixture.put_all(f"{precision}.gradient.generator", gradients_of(generator))
fixture.save()
