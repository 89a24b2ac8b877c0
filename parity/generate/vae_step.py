"""One VAE step in f64 and f32, every gradient, and Adam's state after three steps in f64.

Six fixtures, all with three batches of inputs:

- `vae_mlp_step`: MLP 64-32-5, Bernoulli on values in [0, 1], beta 1, batch 4
- `vae_mlp_step_gaussian`: the same network, Gaussian with fixed standard deviation 0.3 on values in [-1, 1], beta 2.5
- `vae_mlp_step_learned_sigma`: the same with a learned standard deviation, parameter `observation.log_sigma` `[1]`, and beta 1
- `vae_conv_step`: 16x16x3, widths 8 and 16, latent 6, Bernoulli, beta 1, batch 4
- `vae_mlp_class_step`: MLP 64-8-5, as `vae_mlp_step`, told one of 3 classes
- `vae_conv_class_step`: 8x8x3, widths 4 and 6, latent 3, told one of 3 classes

Tensors (see `fixture.py` for the naming of precisions):

- `weight.<parameter>`; for `vae_conv*` also the initial running statistics
- `input.images` `[3, batch, ...]`, `input.noise` `[3, batch, latent]`, of the last two `input.labels` `[3, batch]`: one row a step
- of the first step, `f64.` and `f32.`: `mean`, `log_variance`, `latents` `[batch, latent]`; `decoded` like the images (logits, or
  the Gaussian's mean); `reconstruction`, `divergence`, `loss` (scalars, averaged over the batch); `divergence_per_dimension`
  `[latent]` (averaged over the batch); `gradient.<parameter>` of the loss
- of `vae_conv*`, `f64.` and `f32.`: `statistics.<name>`: running means and variances after the first forward pass in training mode
  (momentum 0.1, eps 1e-5; PyTorch's running variance uses the unbiased variance of the batch, its normalisation the biased
  one); `inference.{mean,log_variance,decoded}`: the first batch again, after the first update, with the running statistics
- `f64.losses` `[3]`: the loss before each of three updates; `f64.after_three.{weight,exp_avg,exp_avg_sq}.<parameter>`, and
  `f64.after_three.statistics.<name>`
"""

import math

import torch
from fixture import PRECISIONS, Fixture, begin, gradients_of, load, redraw, statistics_of, weights_of
from vae import bernoulli, conditional_vae_conv, conditional_vae_mlp, gaussian, negative_elbo, vae_conv, vae_mlp

STEPS, BATCH = 3, 4
FIRST_STEP = ("mean", "log_variance", "latents", "decoded", "reconstruction", "divergence", "loss", "divergence_per_dimension")


def write(name, seed, about, build, shape, latent, pixel_range, likelihood_of, beta, classes=0, **settings):
    """`likelihood_of(network)` is the reconstruction loss, which may use a parameter of the network."""
    generator = begin(seed)
    network = build()
    redraw(network, generator)
    start = {key: value.clone() for key, value in weights_of(network).items()}
    low, high = pixel_range
    images = low + (high - low) * torch.rand(STEPS, BATCH, *shape, generator=generator)
    noise = torch.randn(STEPS, BATCH, latent, generator=generator)
    labels = torch.randint(classes, (STEPS, BATCH), generator=generator) if classes else None

    rates = dict(learning_rate=1e-3, betas=[0.9, 0.999], epsilon=1e-8)
    fixture = Fixture(name, seed, about, beta=beta, **rates, **settings)
    fixture.put_all("weight", start)
    fixture.put("input.images", images)
    fixture.put("input.noise", noise)
    if classes:
        fixture.put("input.labels", labels.float())

    for precision, dtype in PRECISIONS.items():
        network = build().to(dtype)
        load(network, start)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        losses = []
        for step in range(STEPS):
            x, epsilon = images[step].to(dtype), noise[step].to(dtype)
            told = [labels[step]] if classes else []
            result = negative_elbo(network(x, epsilon, *told), x, likelihood_of(network), beta)
            optimizer.zero_grad()
            result["loss"].backward()
            if step == 0:
                fixture.put_all(precision, {key: result[key] for key in FIRST_STEP})
                fixture.put_all(f"{precision}.gradient", gradients_of(network))
                fixture.put_all(f"{precision}.statistics", statistics_of(network))
            optimizer.step()
            losses.append(result["loss"].item())
            if step == 0 and statistics_of(network):
                network.eval()
                again = network(x, epsilon, *told)
                fixture.put_all(f"{precision}.inference", {key: again[key] for key in ("mean", "log_variance", "decoded")})
                network.train()
        if precision == "f64":
            fixture.put("f64.losses", torch.tensor(losses, dtype=dtype))
            fixture.put_adam("f64.after_three", network, optimizer)
            fixture.put_all("f64.after_three.statistics", statistics_of(network))
    fixture.save()


write(
    "vae_mlp_step",
    31,
    "one step of an MLP VAE with a Bernoulli likelihood",
    lambda: vae_mlp(64, 32, 5),
    shape=(64,),
    latent=5,
    pixel_range=(0.0, 1.0),
    likelihood_of=lambda network: bernoulli,
    beta=1.0,
)
write(
    "vae_mlp_step_gaussian",
    32,
    "one step of an MLP VAE with a Gaussian likelihood of fixed width",
    lambda: vae_mlp(64, 32, 5),
    shape=(64,),
    latent=5,
    pixel_range=(-1.0, 1.0),
    likelihood_of=lambda network: gaussian(math.log(0.3)),
    beta=2.5,
    sigma=0.3,
)
write(
    "vae_mlp_step_learned_sigma",
    34,
    "one step of an MLP VAE with a Gaussian likelihood of learned width",
    lambda: vae_mlp(64, 32, 5, learned_sigma=True),
    shape=(64,),
    latent=5,
    pixel_range=(-1.0, 1.0),
    likelihood_of=lambda network: gaussian(network.observation["log_sigma"]),
    beta=1.0,
)
write(
    "vae_conv_step",
    33,
    "one step of a convolutional VAE with batch norm",
    lambda: vae_conv(3, 16, [8, 16], 6),
    shape=(3, 16, 16),
    latent=6,
    pixel_range=(0.0, 1.0),
    likelihood_of=lambda network: bernoulli,
    beta=1.0,
    widths=[8, 16],
)
write(
    "vae_mlp_class_step",
    35,
    "one step of an MLP VAE that is told each image's class",
    lambda: conditional_vae_mlp(64, 8, 5, 3),
    shape=(64,),
    latent=5,
    pixel_range=(0.0, 1.0),
    likelihood_of=lambda network: bernoulli,
    beta=1.0,
    classes=3,
)
write(
    "vae_conv_class_step",
    36,
    "one step of a convolutional VAE that is told each image's class",
    lambda: conditional_vae_conv(3, 8, [4, 6], 3, 3),
    shape=(3, 8, 8),
    latent=3,
    pixel_range=(0.0, 1.0),
    likelihood_of=lambda network: bernoulli,
    beta=1.0,
    widths=[4, 6],
    classes=3,
)
