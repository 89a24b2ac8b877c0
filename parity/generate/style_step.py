"""StyleGAN2: an image and its gradients, and a discriminator's step with exact R1 by PyTorch's double backward, in f64 and f32.

16x16x3, widths 6, 5, 4 from 4x4 up, latent 5, styles of 7, two mapping layers, batch 6 in groups of 3, gamma 4. (In groups of 2 deviations do not bend.)

Tensors (see `fixture.py` for the naming of precisions; parameters are named as in `crates/models/src/gan/style.rs`):

- `weight.<owner>.<parameter>`: random, biases and strengths of noise too
- `input.{real,fake}` `[6, 3, 16, 16]`, `input.latents` `[6, 5]`, `input.noise.<layer>` `[6, 1, side, side]`
- `f64.` and `f32.`: `styles`, `image`, `generator.loss` (`-mean log sigmoid` of its scores), `gradient.generator.<parameter>`; `real_scores`,
  `fake_scores`, `input_gradient` (of the summed real scores), `penalty` (gamma / 2 included), `loss`, `gradient.discriminator.<parameter>`;
  `penalty_gradient.discriminator.<parameter>` of the penalty alone

Real and fake images pass the discriminator apart, each batch with its own spread.
"""

import torch
from fixture import PRECISIONS, Fixture, begin
from style import Discriminator, Generator
from torch.nn import functional as F

SEED, BATCH, LATENT, GAMMA, WIDTHS = 101, 6, 5, 4.0, [6, 5, 4]
draws = begin(SEED)
build = {"generator": lambda: Generator(LATENT, 7, 2, WIDTHS, 3), "discriminator": lambda: Discriminator(WIDTHS, 3, 3)}
start = {}
for owner, make in build.items():
    network = make()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=draws)
            factor = 100.0 if name.startswith("mapping") else 1.0
            small = name.endswith(("bias", "strength"))
            parameter.copy_(factor * ((1.0 if name.endswith("style.bias") else 0.0) + 0.3 * noise if small else noise))
    start[owner] = {name: value.clone() for name, value in network.state_dict().items()}

inputs = {name: torch.randn(BATCH, 3, 16, 16, generator=draws).clamp(-1, 1) for name in ("real", "fake")}
inputs["latents"] = torch.randn(BATCH, LATENT, generator=draws)
for layer, side in enumerate([4, 8, 8, 16, 16]):
    inputs[f"noise.{layer}"] = torch.randn(BATCH, 1, side, side, generator=draws)

fixture = Fixture("style_step", SEED, "StyleGAN2 at 16x16x3, R1 by double backward", gamma=GAMMA, widths=WIDTHS)
for owner, weights in start.items():
    fixture.put_all(f"weight.{owner}", weights)
fixture.put_all("input", inputs)

for precision, dtype in PRECISIONS.items():
    networks = {owner: make().to(dtype) for owner, make in build.items()}
    for owner, network in networks.items():
        network.load_state_dict(start[owner])
    generator, discriminator = networks["generator"], networks["discriminator"]
    cast = {name: value.to(dtype) for name, value in inputs.items()}

    image, styles = generator(cast["latents"], [cast[f"noise.{layer}"] for layer in range(5)])
    loss = F.softplus(-discriminator(image)).mean()
    loss.backward()
    for name, value in (("styles", styles), ("image", image), ("generator.loss", loss)):
        fixture.put(f"{precision}.{name}", value)
    for name, parameter in generator.named_parameters():
        fixture.put(f"{precision}.gradient.generator.{name}", parameter.grad)

    def run():
        discriminator.zero_grad()
        real = cast["real"].clone().requires_grad_()
        real_scores, fake_scores = discriminator(real), discriminator(cast["fake"])
        (gradient,) = torch.autograd.grad(real_scores.sum(), real, create_graph=True)
        penalty = GAMMA / 2 * gradient.square().sum((1, 2, 3)).mean()
        loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean() + penalty
        return {
            "real_scores": real_scores, "fake_scores": fake_scores, "input_gradient": gradient, "penalty": penalty, "loss": loss,
        }  # fmt: skip

    run()["penalty"].backward()
    for name, parameter in discriminator.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        fixture.put(f"{precision}.penalty_gradient.discriminator.{name}", gradient)
    result = run()
    fixture.put_all(precision, result)
    result["loss"].backward()
    for name, parameter in discriminator.named_parameters():
        fixture.put(f"{precision}.gradient.discriminator.{name}", parameter.grad)
fixture.save()
