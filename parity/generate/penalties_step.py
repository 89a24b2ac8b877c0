"""Losses, penalties and spectral norm on discriminators with and without it, by PyTorch's double backward, in f64 and f32.

16x16x3, batch 3. Three cases, a file each:

- `resnet_wgan_gp_step`: ResNet with attention; Wasserstein, slopes between real and fake images two-sided (weight 10), LeCam (weight 0.3)
- `resnet_sngan_step`: ResNet with spectral norm and attention; hinge, R1 (gamma 4); and the generator's step
- `dcgan_spectral_step`: DCGAN with spectral norm; least squares, slopes around real images one-sided (weight 10)

Tensors (see `fixture.py` for the naming of precisions):

- `weight.discriminator.<parameter>`, for `resnet_sngan_step` also `weight.generator.<parameter>`; with spectral norm `weight` is not divided, and
  `weight_u` is the left singular vector before the step
- `input.{real,fake}` `[3, 3, 16, 16]`, `input.share` `[3]`, `input.noise` `[3, 3, 16, 16]`, `input.latents` `[3, 8]`
- `f64.` and `f32.`: `real_scores`, `fake_scores`, `points` (where the slope is penalised), `input_gradient` (of the summed scores there), `adversarial`,
  `penalty`, `loss`, `gradient.discriminator.<parameter>` of `loss`, `state.discriminator.<parameter>.weight_u` after it;
  `penalty_gradient.discriminator.<parameter>` of the penalty alone (zero where it does not reach)
- generator: `generator.fake`, `generator.loss`, `gradient.generator.<parameter>` without the biases that a batch norm takes away again, whose
  gradients are rounding

The discriminator sees real and fake images as one batch, then the penalised points, one step of power iteration each; R1 takes its points from the
first batch.
"""

import torch
from fixture import PRECISIONS, Fixture, begin, redraw
from resnet import Discriminator, Generator, add_spectral_norm
from torch import nn
from torch.nn import functional as F

SEED, BATCH, LATENT = 83, 3, 8


class PlainDcgan(nn.Module):
    """DCGAN's discriminator without batch norm, with biases: 16 -> 8 -> 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [3, width, 2 * width]
        self.blocks = nn.ModuleList(nn.ModuleDict({"conv": nn.Conv2d(i, o, 4, 2, 1)}) for i, o in zip(sizes, sizes[1:]))
        self.output = nn.Conv2d(sizes[-1], 1, 4)

    def forward(self, images):
        features = images
        for block in self.blocks:
            features = F.leaky_relu(block["conv"](features), 0.2)
        return self.output(features).flatten()


def ours(name: str) -> str:
    """PyTorch calls the weight before the division `weight_orig`."""
    return name.replace("weight_orig", "weight")


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    kept = network.state_dict().items()
    return {ours(name): value for name, value in kept if not name.endswith(("weight_v", "num_batches_tracked"))}


def length(gradient):
    return gradient.square().sum((1, 2, 3)).sqrt()


ADVERSARIAL = {
    "wasserstein": lambda real, fake: fake.mean() - real.mean(),
    "hinge": lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    "least-squares": lambda real, fake: F.mse_loss(real, torch.ones_like(real)) / 2 + F.mse_loss(fake, torch.zeros_like(fake)) / 2,
}

CASES = {
    "resnet_wgan_gp_step": ("wasserstein", "between", lambda: Discriminator(3, [6, 8, 8], 2, 1)),
    "resnet_sngan_step": ("hinge", "r1", lambda: add_spectral_norm(Discriminator(3, [6, 8, 8], 2, 2))),
    "dcgan_spectral_step": ("least-squares", "around", lambda: add_spectral_norm(PlainDcgan(6))),
}

for name, (loss, kind, build) in CASES.items():
    draws = begin(SEED)
    first = build()
    redraw(first, draws)
    start = {key: value.clone() for key, value in first.state_dict().items()}
    fixture = Fixture(name, SEED, f"{loss} with a penalty ({kind}) by double backward", loss=loss)
    fixture.put_all("weight.discriminator", state(first))
    inputs = {key: torch.randn(BATCH, 3, 16, 16, generator=draws).clamp(-1, 1) for key in ("real", "fake")}
    inputs["share"] = torch.rand(BATCH, generator=draws)
    inputs["noise"] = torch.rand(BATCH, 3, 16, 16, generator=draws)
    if name == "resnet_sngan_step":
        inputs["latents"] = torch.randn(BATCH, LATENT, generator=draws)
        make = Generator(LATENT, [6, 6, 4], 3, 1)
        redraw(make, draws)
        start_make = {key: value.clone() for key, value in make.state_dict().items()}
        fixture.put_all("weight.generator", state(make))
    fixture.put_all("input", inputs)

    for precision, dtype in PRECISIONS.items():
        discriminator = build().to(dtype)
        discriminator.load_state_dict(start)
        real, fake, share, noise = (inputs[key].to(dtype) for key in ("real", "fake", "share", "noise"))
        share = share[:, None, None, None]

        def run():
            both = torch.cat([real, fake]).requires_grad_()
            scores = discriminator(both)
            real_scores, fake_scores = scores.split(BATCH)
            adversarial = ADVERSARIAL[loss](real_scores, fake_scores)
            if kind == "r1":
                points = real
                (gradient,) = torch.autograd.grad(real_scores.sum(), both, create_graph=True)
                gradient = gradient[:BATCH]
                penalty = 4 / 2 * length(gradient).square().mean()
            else:
                if kind == "between":
                    points = share * real + (1 - share) * fake
                else:
                    points = real + share * noise * real.std(unbiased=False) / 2
                points = points.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
                excess = length(gradient) - 1
                penalty = 10 * (excess if kind == "between" else F.relu(excess)).square().mean()
            total = adversarial + penalty
            if kind == "between":
                # LeCam's anchors 0.5 for real, -0.25 for fake images.
                total = total + 0.3 * (F.relu(real_scores + 0.25).square().mean() + F.relu(0.5 - fake_scores).square().mean())
            return {
                "real_scores": real_scores, "fake_scores": fake_scores, "points": points, "input_gradient": gradient,
                "adversarial": adversarial, "penalty": penalty, "loss": total,
            }

        result = run()
        result["penalty"].backward()
        for key, parameter in discriminator.named_parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            fixture.put(f"{precision}.penalty_gradient.discriminator.{ours(key)}", gradient)
        discriminator.zero_grad()
        discriminator.load_state_dict(start)
        result = run()
        fixture.put_all(precision, result)
        result["loss"].backward()
        for key, parameter in discriminator.named_parameters():
            fixture.put(f"{precision}.gradient.discriminator.{ours(key)}", parameter.grad)
        for key, value in state(discriminator).items():
            if key.endswith("weight_u"):
                fixture.put(f"{precision}.state.discriminator.{key}", value)

        if name == "resnet_sngan_step":
            discriminator.load_state_dict(start)
            make = Generator(LATENT, [6, 6, 4], 3, 1).to(dtype)
            make.load_state_dict(start_make)
            made = make(inputs["latents"].to(dtype))
            lost = -discriminator(made).mean()
            lost.backward()
            fixture.put(f"{precision}.generator.fake", made)
            fixture.put(f"{precision}.generator.loss", lost)
            for key, parameter in make.named_parameters():
                if key.endswith("conv1.bias") or key in ("blocks.1.conv2.bias", "blocks.1.shortcut.bias"):
                    continue
                fixture.put(f"{precision}.gradient.generator.{key}", parameter.grad)
    fixture.save()
