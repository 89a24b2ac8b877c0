"""Small files of weights in every format in which weights are published, for `crates/snapshots/src/published`.

`archive.pth` and `nested.pth` (under the key `state_dict`) are what `torch.save` writes since PyTorch 1.6, `legacy.pth` what it
wrote before, `plain.safetensors` the same float tensors. Tensor values are `start + 0.5 * place`. `statistics.npz` is what
pytorch-fid keeps of a set, for `crates/metrics/src/statistics.rs`.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "published"


def tensor(shape: list[int], start: float, kind: torch.dtype = torch.float32) -> torch.Tensor:
    count = torch.Size(shape).numel()
    return (start + 0.5 * torch.arange(count, dtype=torch.float64)).to(kind).reshape(shape)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    weight = tensor([2, 3], -1.0)
    weights = OrderedDict(
        {
            "layer.weight": weight,
            "layer.bias": torch.nn.Parameter(tensor([2], 10.0)),
            "half": tensor([2, 2], 0.0, torch.float16),
            "brain": tensor([3], 4.0, torch.bfloat16),
            "double": tensor([1], 7.0, torch.float64),
            "scalar": tensor([], 3.0),
            "row": weight[1],
            "num_batches_tracked": torch.tensor(5),
        }
    )
    weights._metadata = OrderedDict({"": {"version": 1}})
    torch.save(weights, FOLDER / "archive.pth")
    torch.save(weights, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "loss": 0.25, "state_dict": weights}, FOLDER / "nested.pth")
    floats = {name: value.detach().clone() for name, value in weights.items() if value.is_floating_point()}
    safetensors.torch.save_file(floats, FOLDER / "plain.safetensors")
    np.savez_compressed(FOLDER / "statistics.npz", mu=np.array([1, 2.5]), sigma=np.array([[3, 0.5], [0.5, 4]]))


if __name__ == "__main__":
    main()
