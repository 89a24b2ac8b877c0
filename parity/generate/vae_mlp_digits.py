"""Ten training steps of the preset `vae-mlp` on real digits, from PyTorch's own starting weights.

64-400-20-400-64, ReLU, Bernoulli on gray values, Adam 1e-3 (0.9, 0.999, eps 1e-8), batch 128.

- `weight.<parameter>`: the start (PyTorch's default: uniform within 1 / sqrt(fan_in), biases too)
- `input.rows` `[10, 128]` I64: rows of scikit-learn's `load_digits`, drawn with replacement from 0..1499
- `input.pixels` `[10, 128, 64]` U8: the gray values 0..16 of those rows; the network sees `pixels / 16`
- `input.noise` `[10, 128, 20]`: the standard normal noise of the reparameterisation
- `f64.losses`, `f32.losses` `[10]`: the loss before each update, with its parts `reconstructions` and `divergences`
- `f32.after_ten.<parameter>`: the end
"""

import torch
from fixture import PRECISIONS, Fixture, begin, load, weights_of
from sklearn.datasets import load_digits
from vae import bernoulli, negative_elbo, vae_mlp

SEED, STEPS, BATCH, LATENT = 20, 10, 128, 20

generator = begin(SEED)
torch.manual_seed(SEED)  # PyTorch's own initialisation draws from the global generator
start = weights_of(vae_mlp(64, 400, LATENT))
pixels = torch.tensor(load_digits().data, dtype=torch.uint8)
rows = torch.randint(0, 1500, (STEPS, BATCH), generator=generator)
noise = torch.randn(STEPS, BATCH, LATENT, generator=generator)

fixture = Fixture(
    "vae_mlp_digits",
    SEED,
    "ten steps of vae-mlp on scikit-learn's digits",
    learning_rate=1e-3,
    betas=[0.9, 0.999],
    epsilon=1e-8,
)
fixture.put_all("weight", start)
fixture.put("input.rows", rows)
fixture.put("input.pixels", pixels[rows])
fixture.put("input.noise", noise)

for precision, dtype in PRECISIONS.items():
    network = vae_mlp(64, 400, LATENT).to(dtype)
    load(network, start)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    history = []
    for step in range(STEPS):
        images = pixels[rows[step]].to(dtype) / 16
        result = negative_elbo(network(images, noise[step].to(dtype)), images, bernoulli, beta=1.0)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        history.append([result[part].item() for part in ("loss", "reconstruction", "divergence")])
    for part, values in zip(("losses", "reconstructions", "divergences"), torch.tensor(history, dtype=dtype).T):
        fixture.put(f"{precision}.{part}", values)
    print(precision, [f"{loss:.6f}" for loss, _, _ in history])
    if precision == "f32":
        fixture.put_all("f32.after_ten", weights_of(network))
fixture.save()
