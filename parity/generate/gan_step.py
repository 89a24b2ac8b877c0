"""A whole GAN step, discriminator then generator, in f64 and f32: every gradient, batch norm, Adam.

Five fixtures, batch 4, latent 8:

- `dcgan_step_16`: images 16x16x3, generator widths 16 and 8, discriminator widths 6 and 12
- `dcgan_step_8`: images 8x8x1, the same widths, but the first and the last convolution are 2x2
- `dcgan_step_16_minimax`, `dcgan_step_8_minimax`: the generator minimises mean log(1 - D(G(z))) as published, instead of
  -mean log D(G(z))
- `gan_mlp_step`: a dense GAN for images 8x8x1, hidden widths 14 and 10 in the generator, 12 and 6 in the discriminator

The order of a step is that of PyTorch's example. The generator runs once. The discriminator runs three times, each time on a batch of
its own, so that batch norm sees real and fake images apart: (1) real images against 1; (2) the fake images, detached,
against 0; Adam updates the discriminator with the sum of both gradients; (3) the same fake images again through the updated
discriminator, for the generator's loss. All three passes move the discriminator's running statistics.

Tensors (see `fixture.py` for the naming of precisions; parameters are `generator.<name>` and `discriminator.<name>`):

- `weight.<parameter>`, with the initial running statistics
- `input.real` `[3, 4, channels, side, side]`, `input.latents` `[3, 4, 8]`: one row a step
- of the first step, `f64.` and `f32.`:
  - `fake` `[4, channels, side, side]`; `logits.real`, `logits.fake`, `logits.generator` `[4]` of passes 1, 2, 3
  - `loss.real`, `loss.fake`, `loss.generator` (scalars)
  - `gradient.discriminator.<name>` of `loss.real + loss.fake`; `gradient.generator.<name>` of `loss.generator`
  - `gradient.fake` `[4, channels, side, side]`: of `loss.generator` with respect to the fake images
  - `statistics.after_{real,fake,generator}.discriminator.<name>` after each of the three passes; `statistics.generator.<name>`
  - `after_one.{weight,exp_avg,exp_avg_sq}.<parameter>`
- `f64.losses` `[3, 3]`: `loss.real`, `loss.fake`, `loss.generator` of each step
- `f64.after_three.{weight,exp_avg,exp_avg_sq}.<parameter>` and `f64.after_three.statistics.<name>`
"""

import dcgan
import gan_mlp
import torch
from dcgan import discriminator_loss, minimax, non_saturating
from fixture import PRECISIONS, Fixture, begin, gradients_of, load, redraw, statistics_of, weights_of

STEPS, BATCH, LATENT = 3, 4, 8


def owned(owner, values):
    return {f"{owner}.{name}": value.detach().clone() for name, value in values.items()}


def step(networks, optimizers, real, latents, loss_of):
    """One step as in PyTorch's example; returns everything that is worth comparing."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    seen = {}

    optimizers["discriminator"].zero_grad()
    logits_real = discriminator(real)
    loss_real = discriminator_loss(logits_real, is_real=True)
    loss_real.backward()
    seen |= owned("statistics.after_real.discriminator", statistics_of(discriminator))

    fake = generator(latents)
    seen |= owned("statistics.generator", statistics_of(generator))
    logits_fake = discriminator(fake.detach())
    loss_fake = discriminator_loss(logits_fake, is_real=False)
    loss_fake.backward()
    seen |= owned("statistics.after_fake.discriminator", statistics_of(discriminator))
    seen |= owned("gradient.discriminator", gradients_of(discriminator))
    optimizers["discriminator"].step()

    optimizers["generator"].zero_grad()
    fake.retain_grad()
    logits_generator = discriminator(fake)
    loss_generator = loss_of(logits_generator)
    loss_generator.backward()
    seen |= owned("statistics.after_generator.discriminator", statistics_of(discriminator))
    seen |= owned("gradient.generator", gradients_of(generator))
    optimizers["generator"].step()

    return seen | {
        "fake": fake,
        "gradient.fake": fake.grad,
        "logits.real": logits_real,
        "logits.fake": logits_fake,
        "logits.generator": logits_generator,
        "loss.real": loss_real,
        "loss.fake": loss_fake,
        "loss.generator": loss_generator,
    }


def write(name, seed, about, shape, build, loss_of=non_saturating, **settings):
    """`build()` makes both networks of images `shape`, by owner."""
    draws = begin(seed)
    start = {}
    for owner, network in build().items():
        redraw(network, draws)
        start[owner] = {key: value.clone() for key, value in weights_of(network).items()}
    real = 2 * torch.rand(STEPS, BATCH, *shape, generator=draws) - 1
    latents = torch.randn(STEPS, BATCH, LATENT, generator=draws)

    fixture = Fixture(
        name,
        seed,
        about,
        loss=loss_of.__name__.replace("_", "-"),
        **settings,
        learning_rate=2e-4,
        betas=[0.5, 0.999],
        epsilon=1e-8,
    )
    for owner, weights in start.items():
        fixture.put_all(f"weight.{owner}", weights)
    fixture.put("input.real", real)
    fixture.put("input.latents", latents)

    for precision, dtype in PRECISIONS.items():
        networks = {owner: network.to(dtype) for owner, network in build().items()}
        for owner, network in networks.items():
            load(network, start[owner])
        optimizers = {
            owner: torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for owner, network in networks.items()
        }
        losses = []
        for number in range(STEPS):
            seen = step(networks, optimizers, real[number].to(dtype), latents[number].to(dtype), loss_of)
            losses.append([seen[f"loss.{part}"].item() for part in ("real", "fake", "generator")])
            if number == 0:
                fixture.put_all(precision, seen)
                for owner, network in networks.items():
                    fixture.put_adam(f"{precision}.after_one", network, optimizers[owner], f"{owner}.")
        if precision == "f64":
            fixture.put("f64.losses", torch.tensor(losses, dtype=dtype))
            for owner, network in networks.items():
                fixture.put_adam("f64.after_three", network, optimizers[owner], f"{owner}.")
                fixture.put_all(f"f64.after_three.statistics.{owner}", statistics_of(network))
    fixture.save()


def write_dcgan(name, seed, shape, loss_of):
    channels, side, _ = shape
    generator_widths, discriminator_widths, smallest = [16, 8], [6, 12], side // 4
    write(
        name,
        seed,
        f"one DCGAN step on images {shape}",
        shape,
        lambda: {
            "generator": dcgan.Generator(LATENT, generator_widths, channels, smallest),
            "discriminator": dcgan.Discriminator(channels, discriminator_widths, smallest),
        },
        loss_of,
        generator_widths=generator_widths,
        discriminator_widths=discriminator_widths,
        smallest=smallest,
    )


for suffix, loss_of in (("", non_saturating), ("_minimax", minimax)):
    write_dcgan(f"dcgan_step_16{suffix}", 41, (3, 16, 16), loss_of)
    write_dcgan(f"dcgan_step_8{suffix}", 42, (1, 8, 8), loss_of)
write(
    "gan_mlp_step",
    44,
    "one step of a dense GAN",
    (1, 8, 8),
    lambda: {
        "generator": gan_mlp.Generator(LATENT, [14, 10], (1, 8, 8)),
        "discriminator": gan_mlp.Discriminator([12, 6], (1, 8, 8)),
    },
)
