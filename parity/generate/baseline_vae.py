"""What PyTorch reaches with the preset `vae-mlp` on digits: five seeds, scored on the held-out rows.

64-400-20-400-64, ReLU, Bernoulli on gray values, Adam 1e-3, batch 128 drawn with replacement from rows 0..1499. Prints and saves, after
2,000 and after 5,000 steps: the negative ELBO of rows 1500..1796 in nats an image, averaged over 20 posterior draws; and what the
judge (`judge.py`) says about 1,000 decoded draws from the prior (the decoder's means, not samples of pixels).
"""

import json
import time

import judge
import torch
from fixture import FIXTURES
from vae import bernoulli, negative_elbo, vae_mlp

SEEDS, MILESTONES, BATCH, LATENT, DRAWS = range(5), (2000, 5000), 128, 20, 20

torch.set_num_threads(1)
model = judge.fit()
pixels = torch.tensor(judge.digits()[0], dtype=torch.float32)
train, held_out = pixels[: judge.TRAIN_ROWS], pixels[judge.TRAIN_ROWS :]


@torch.no_grad()
def score(network, generator):
    parts = [
        negative_elbo(network(held_out, torch.randn(len(held_out), LATENT, generator=generator)), held_out, bernoulli, 1.0)
        for _ in range(DRAWS)
    ]
    averages = {key: torch.stack([part[key] for part in parts]).mean().item() for key in ("loss", "reconstruction", "divergence")}
    images = torch.sigmoid(network.decoder(torch.randn(1000, LATENT, generator=generator)))
    return {"negative_elbo": averages.pop("loss"), **averages, **judge.describe(model, images.double().numpy())}


runs = []
for seed in SEEDS:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = vae_mlp(64, 400, LATENT)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    started = time.perf_counter()
    for step in range(1, MILESTONES[-1] + 1):
        images = train[torch.randint(0, len(train), (BATCH,), generator=generator)]
        noise = torch.randn(BATCH, LATENT, generator=generator)
        optimizer.zero_grad()
        negative_elbo(network(images, noise), images, bernoulli, 1.0)["loss"].backward()
        optimizer.step()
        if step in MILESTONES:
            runs.append({"seed": seed, "steps": step} | score(network, generator))
            last = runs[-1]
            print(
                f"seed {seed}  {step} steps  negative ELBO {last['negative_elbo']:.3f} = {last['reconstruction']:.3f} + {last['divergence']:.3f}"
                f"  top probability {last['top_probability']:.3f}  smallest class {min(last['class_shares']):.3f}"
                f"  {time.perf_counter() - started:.0f} s"
            )

summary = {}
for steps in MILESTONES:
    chosen = [run for run in runs if run["steps"] == steps]
    for key in ("negative_elbo", "top_probability"):
        values = torch.tensor([run[key] for run in chosen])
        summary[f"{key}_after_{steps}"] = {"mean": values.mean().item(), "deviation": values.std().item()}
        print(f"{key} after {steps} steps: {values.mean():.3f} +- {values.std():.3f}")
path = FIXTURES / "baselines" / "vae_mlp_digits.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"script": "baseline_vae_mlp.py", "torch": torch.__version__.split("+")[0], "summary": summary, "runs": runs}, indent=1) + "\n")
