"""One safetensors file of numbers that PyTorch computed, for the Rust tests to meet.

Conventions shared by all fixtures of this folder:

- Weights and inputs are drawn once, in f32, and stored once, as F32: every one of them is exact in f64 too, so the f64 and
  the f32 run start from the same numbers. They are named `weight.<parameter>` and `input.<name>`; the initial running
  statistics of batch norm count as weights.
- Results are named `f64.<result>` (stored as F64) and `f32.<result>` (F32): the same program run in both precisions.
  The distance between the two is PyTorch's own rounding error on this case, the yardstick for an f32 implementation.
- Layouts are PyTorch's: Linear `[out, in]`, Conv `[out, in / groups, kernel_height, kernel_width]`, ConvTranspose
  `[in, out / groups, kernel_height, kernel_width]`, images `[batch, channels, height, width]`.
- Adam's state is named `<when>.weight.<parameter>`, `<when>.exp_avg.<parameter>`, `<when>.exp_avg_sq.<parameter>`: the
  parameter after the update, and the moving averages of its gradient and of the gradient's square (not bias-corrected).
- The metadata of each file names its `script`, `seed`, `torch` version and a one-line `about`; other keys are settings of the
  case (`beta`, `learning_rate`, ...), written as decimal numbers or JSON.

The bytes are reproducible: one thread, fixed seeds, and a header in sorted order.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import safetensors.torch
import torch

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
PRECISIONS = {"f64": torch.float64, "f32": torch.float32}


class Fixture:
    """Collects named tensors, then writes them as `<name>.safetensors`."""

    def __init__(self, name: str, seed: int, about: str, **settings: object) -> None:
        self.path = FIXTURES / f"{name}.safetensors"
        self.tensors: dict[str, torch.Tensor] = {}
        self.metadata = {
            "script": Path(sys.argv[0]).name,
            "seed": str(seed),
            "torch": torch.__version__.split("+")[0],
            "about": about,
        } | {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}

    def put(self, name: str, value: torch.Tensor) -> None:
        """Stores a copy of one tensor; a name may be used only once."""
        if name in self.tensors:
            raise ValueError(f"`{name}` is already in {self.path.name}")
        self.tensors[name] = value.detach().clone().contiguous()

    def put_all(self, prefix: str, values: dict[str, torch.Tensor]) -> None:
        """Stores a dictionary of tensors under `<prefix>.<key>`."""
        for name, value in values.items():
            self.put(f"{prefix}.{name}", value)

    def put_adam(self, prefix: str, network: torch.nn.Module, optimizer: torch.optim.Adam, owner: str = "") -> None:
        """Stores every parameter of `network` with Adam's moving averages. `owner` (`"generator."`) leads the names."""
        for name, parameter in network.named_parameters():
            state = optimizer.state[parameter]
            self.put(f"{prefix}.weight.{owner}{name}", parameter)
            self.put(f"{prefix}.exp_avg.{owner}{name}", state["exp_avg"])
            self.put(f"{prefix}.exp_avg_sq.{owner}{name}", state["exp_avg_sq"])

    def save(self) -> None:
        """Writes the file and prints its size."""
        unsorted = safetensors.torch.save(self.tensors)
        length = struct.unpack("<Q", unsorted[:8])[0]
        # The library writes metadata in the order of a hash map, which differs from run to run.
        header = {"__metadata__": dict(sorted(self.metadata.items()))} | json.loads(unsorted[8 : 8 + length])
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(struct.pack("<Q", len(text)) + text + unsorted[8 + length :])
        print(f"{self.path.name}: {len(self.tensors)} tensors, {self.path.stat().st_size / 1024:.0f} KiB")


def begin(seed: int) -> torch.Generator:
    """Fixes everything that could make a run differ from the next one; returns the generator of all draws."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return torch.Generator().manual_seed(seed)


def redraw(network: torch.nn.Module, generator: torch.Generator) -> None:
    """Replaces all weights by random ones that hide no mistake.

    No bias is zero, no scale and no running statistic is neutral, so that a term which is left out changes the result.
    """
    with torch.no_grad():
        for module in network.modules():
            for name, tensor in list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False)):
                noise = torch.randn(tensor.shape, generator=generator)
                if name == "num_batches_tracked":
                    continue
                if name == "running_var":
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
                elif name == "running_mean" or name.endswith("bias"):
                    tensor.copy_(0.1 * noise)
                elif isinstance(module, torch.nn.BatchNorm2d):
                    tensor.copy_(1.0 + 0.2 * noise)
                else:
                    fan_in = max(tensor[0].numel(), 1)
                    tensor.copy_(noise / fan_in**0.5)


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and running statistics by name, without the step counter that PyTorch keeps beside them."""
    return {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def load(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Sets every parameter and running statistic, in the network's own precision."""
    answer = network.load_state_dict(weights, strict=False)
    missing = [name for name in answer.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or answer.unexpected_keys:
        raise ValueError(f"the weights do not fit: missing {missing}, unexpected {answer.unexpected_keys}")


def statistics_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Running means and variances of batch norm by name."""
    return {name: value for name, value in network.state_dict().items() if "running_" in name}


def gradients_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The gradient of every parameter by name; a parameter without one is a mistake of the script."""
    return {name: parameter.grad for name, parameter in network.named_parameters()}
