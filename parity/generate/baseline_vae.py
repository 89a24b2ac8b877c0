"""What PyTorch reaches with a VAE preset on digits, scored on the held-out rows.

python baseline_vae.py vae-mlp|vae [--seeds 5] [--threads 1]

- `vae-mlp`: 64-400-20-400-64, ReLU; batch 128 drawn with replacement from rows 0..1499
- `vae`: convolutions of 64 and 128 channels (`vae.py`), latent 8; batch 64 from permutations of those rows; weights averaged with a
  half-life of 20,000 images (at first a twentieth of the images seen), batch norm's statistics of the average estimated anew

Both: Bernoulli on gray values, Adam 1e-3. At each milestone it prints and saves the negative ELBO of rows 1500..1796 in nats an image, averaged
over 20 posterior draws, and what the judge (`judge.py`) says about 1,000 decoded draws from the prior (the decoder's means, not
samples of pixels).
"""

import argparse
import copy
import json
from dataclasses import dataclass
from typing import Callable

import judge
import torch
from fixture import FIXTURES
from torch import nn
from vae import bernoulli, negative_elbo, vae_conv, vae_mlp

DRAWS, IMAGES = 20, 1000


@dataclass
class Preset:
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    latent: int
    batch: int
    permuted: bool
    average_half_life: int
    milestones: tuple[int, ...]


PRESETS = {
    "vae-mlp": Preset(lambda: vae_mlp(64, 400, 20), (64,), 20, 128, False, 0, (2000, 5000)),
    "vae": Preset(lambda: vae_conv(1, 8, [64, 128], 8), (1, 8, 8), 8, 64, True, 20_000, (2000, 6250, 10_000)),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("preset", choices=PRESETS)
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
preset = PRESETS[arguments.preset]
torch.set_num_threads(arguments.threads)
model = judge.fit()
pixels = torch.tensor(judge.digits()[0], dtype=torch.float32).unflatten(1, preset.shape)
train, held_out = pixels[: judge.TRAIN_ROWS], pixels[judge.TRAIN_ROWS :]


def batches(generator):
    """Rows of one batch after another, without end; permutations follow each other without a gap."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        if not preset.permuted:
            yield torch.randint(0, len(train), (preset.batch,), generator=generator)
            continue
        while len(waiting) < preset.batch:
            waiting = torch.cat([waiting, torch.randperm(len(train), generator=generator)])
        yield waiting[: preset.batch]
        waiting = waiting[preset.batch :]


@torch.no_grad()
def follow(average, network, seen):
    half_life = min(preset.average_half_life, 0.05 * seen)
    decay = 0.5 ** (preset.batch / half_life)
    for mean, value in zip(average.parameters(), network.parameters()):
        mean.lerp_(value, 1 - decay)


@torch.no_grad()
def estimate_statistics(network, generator):
    """Replaces the running statistics by those of one pass over the training rows."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for a plain average
    network.train()
    if norms:
        network(train, torch.randn(len(train), preset.latent, generator=generator))


@torch.no_grad()
def score(network, generator):
    network.eval()
    parts = [
        negative_elbo(network(held_out, torch.randn(len(held_out), preset.latent, generator=generator)), held_out, bernoulli, 1.0)
        for _ in range(DRAWS)
    ]
    averages = {key: torch.stack([part[key] for part in parts]).mean().item() for key in ("loss", "reconstruction", "divergence")}
    images = torch.sigmoid(network.decoder(torch.randn(IMAGES, preset.latent, generator=generator)))
    network.train()
    return {"negative_elbo": averages.pop("loss"), **averages, **judge.describe(model, images.flatten(1).double().numpy())}


runs = []
for seed in range(arguments.seeds):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = preset.build()
    average = copy.deepcopy(network) if preset.average_half_life else None
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step, rows in enumerate(batches(generator), start=1):
        images = train[rows]
        noise = torch.randn(preset.batch, preset.latent, generator=generator)
        optimizer.zero_grad()
        negative_elbo(network(images, noise), images, bernoulli, 1.0)["loss"].backward()
        optimizer.step()
        if average is not None:
            follow(average, network, step * preset.batch)
        if step in preset.milestones:
            scored = {"last": network}
            if average is not None:
                scored["average"] = copy.deepcopy(average)
                estimate_statistics(scored["average"], generator)
            for weights, candidate in scored.items():
                run = {"seed": seed, "steps": step, "weights": weights} | score(candidate, generator)
                runs.append(run)
                print(
                    f"seed {seed}  {step} steps  {weights:8} negative ELBO {run['negative_elbo']:.3f} = {run['reconstruction']:.3f} + "
                    f"{run['divergence']:.3f}  top probability {run['top_probability']:.3f}  smallest class {min(run['class_shares']):.3f}",
                    flush=True,
                )
        if step == preset.milestones[-1]:
            break

summary = []
for steps in preset.milestones:
    for weights in sorted({run["weights"] for run in runs}):
        row = {"steps": steps, "weights": weights}
        for key in ("negative_elbo", "top_probability"):
            values = torch.tensor([run[key] for run in runs if run["steps"] == steps and run["weights"] == weights])
            row[key] = {"mean": values.mean().item(), "deviation": values.std().item() if len(values) > 1 else None}
            print(f"{key} after {steps} steps, {weights} weights: {values.mean():.3f} +- {values.std():.3f}")
        summary.append(row)
path = FIXTURES / "baselines" / f"{arguments.preset.replace('-', '_')}_digits.json"
path.parent.mkdir(parents=True, exist_ok=True)
about = {"script": "baseline_vae.py", "preset": arguments.preset, "torch": torch.__version__.split("+")[0]}
path.write_text(json.dumps({**about, "summary": summary, "runs": runs}, indent=1) + "\n")
