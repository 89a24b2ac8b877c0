"""The perceptual path length as torch-fidelity measures it, with a generator and a distance that are formulas.

Writes the fixture `path_length`:

- `from`, `to` F32 `[300, 8]`: the latents at the beginning of each step and 1e-4 of the way along the arc to the next; `next` F32
  `[300, 8]` is where the arc leads
- `distances` F64 `[300]`: how far apart the two images of each step are by the formula
- settings `ppl`, `epsilon`: what the tool says

    pip install torch-fidelity==0.4.0
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
import torch_fidelity.metric_ppl as metric_ppl
from fixture import Fixture, begin
from torch_fidelity.generative_model_modulewrapper import GenerativeModelModuleWrapper

STEPS, ENTRIES, EPSILON = 300, 8, 1e-4


class Generator(torch.nn.Module):
    """Eight numbers from eight: their sines, more of them the further from zero."""

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.sin(latents.double() * 3)


def main() -> None:
    begin(0)
    seen: dict[str, list] = {"from": [], "to": [], "next": [], "distances": []}
    interpolate, percentile = metric_ppl.batch_interp, np.percentile

    def noted(a: torch.Tensor, b: torch.Tensor, t: float, method: str) -> torch.Tensor:
        found = interpolate(a, b, t, method)
        for name, value in {"from": a, "next": b, "to": found}.items():
            seen[name].append(value)
        return found

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        found = ((a - b) ** 2).sum(1)
        seen["distances"].append(found)
        return found

    model = GenerativeModelModuleWrapper(Generator(), ENTRIES, "normal", 0)
    with (
        mock.patch.object(metric_ppl, "batch_interp", noted),
        mock.patch.object(metric_ppl, "create_sample_similarity", lambda *_, **__: distance),
        # NumPy renamed the argument.
        mock.patch.object(np, "percentile", lambda values, q, interpolation: percentile(values, q, method=interpolation)),
    ):
        ppl = metric_ppl.calculate_ppl(
            1,
            input1=model,
            input1_model_num_samples=STEPS,
            ppl_z_interp_mode="slerp_any",
            ppl_epsilon=EPSILON,
            batch_size=50,
            cuda=False,
            verbose=False,
        )
    mean = ppl["perceptual_path_length_mean"]
    fixture = Fixture("path_length", 0, "torch-fidelity's perceptual path length of formulas", ppl=mean, epsilon=EPSILON)
    for name, values in seen.items():
        fixture.put(name, torch.cat(values))
    fixture.save()
    print(mean)


if __name__ == "__main__":
    main()
