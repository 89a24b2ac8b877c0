"""Times one step of PyTorch, one round at a time, so that a caller can let its own program and this one take turns.

python torch_peer.py --step dcgan64 [--variant default] [--threads 2] [--rounds 7]
python torch_peer.py --list

With `--rounds` it runs that many rounds by itself. Without, it is driven through its standard input: each line `round` runs one, and the
end of the input (or the line `quit`) ends it. Standard output carries one JSON object a line:

    {"event": "ready", "peer": "torch", "version": "2.15.0", "step": ..., "variant": ..., "threads": 2, "images_a_step": 64,
     "steps_a_round": 1, "cpu": "AVX2"}
    {"event": "round", "seconds_a_step": 1.84, "preempted": 3}
    {"event": "done", "rounds": 7, "median_seconds_a_step": 1.84, "peak_mib": 1630, "before_mib": 310}

`preempted` counts how often the system took the processor away during the round: hundreds of times a second mean that the machine is
busy and the figure worthless. (PyTorch's threads then wait for each other: a step of 4 ms was seen to take 550 ms.)
A round repeats a short step until a quarter of a second has passed (`steps_a_round`, decided during the warm-up). `peak_mib` is the most memory
that the process ever held, `before_mib` what it held before the step was built (Python and PyTorch themselves).
A step that does not exist in a variant prints `{"event": "unavailable", "reason": ...}` and exits 3.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "parity" / "generate"))

import inference  # noqa: E402  (the networks come from parity/generate)
import layers  # noqa: E402
import torch  # noqa: E402
import training  # noqa: E402
from variant import VARIANTS, Unavailable  # noqa: E402

STEPS = training.STEPS | inference.STEPS | layers.STEPS
SHORTEST_ROUND, WARM_UP, LONGEST_WARM_UP = 0.25, 3, 10.0


def memory_mib(field: str) -> float:
    """`VmRSS` (now) or `VmHWM` (the most so far) of this process.

    Not `ru_maxrss` where the kernel tells better: a new process inherits that number from the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return round(int(line.split()[1]) / 1024, 1)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def timed(step, repetitions: int) -> float:
    """Seconds a step."""
    started = time.perf_counter()
    for _ in range(repetitions):
        step()
    return (time.perf_counter() - started) / repetitions


def commands(rounds: int | None):
    """Yields once for every round that is asked for."""
    if rounds is not None:
        yield from range(rounds)
        return
    for line in sys.stdin:
        match line.strip():
            case "round":
                yield
            case "quit":
                return
            case other:
                sys.exit(f"expected `round` or `quit`, got `{other}`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", choices=STEPS, metavar="STEP")
    parser.add_argument("--variant", choices=VARIANTS, default="default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="run these rounds and stop, instead of listening")
    parser.add_argument("--list", action="store_true", help="print the steps and the variants")
    arguments = parser.parse_args()
    if arguments.list:
        say("list", steps=list(STEPS), variants=list(VARIANTS))
        return
    if arguments.step is None:
        parser.error("--step is missing; --list prints the choices")

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    before = memory_mib("VmRSS")
    variant = VARIANTS[arguments.variant]
    try:
        if variant.onnxruntime and arguments.step not in inference.STEPS:
            raise Unavailable("onnxruntime does not train")
        step, images = STEPS[arguments.step](variant)
    except Unavailable as reason:
        say("unavailable", step=arguments.step, variant=arguments.variant, reason=str(reason))
        sys.exit(3)
    started = time.perf_counter()
    for _ in range(WARM_UP):
        estimate = timed(step, 1)
        if time.perf_counter() - started > LONGEST_WARM_UP and not variant.compiled:
            break
    repetitions = max(1, math.ceil(SHORTEST_ROUND / estimate))
    say(
        "ready",
        peer=(peer := "onnxruntime" if variant.onnxruntime else "torch"),
        version=version(peer).split("+")[0],
        step=arguments.step,
        variant=arguments.variant,
        threads=arguments.threads,
        images_a_step=images,
        steps_a_round=repetitions,
        cpu=torch.backends.cpu.get_cpu_capability(),
    )
    seconds = []
    for _ in commands(arguments.rounds):
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        seconds.append(timed(step, repetitions))
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - preempted
        say("round", seconds_a_step=seconds[-1], preempted=preempted)
    median = statistics.median(seconds) if seconds else None
    say("done", rounds=len(seconds), median_seconds_a_step=median, peak_mib=memory_mib("VmHWM"), before_mib=before)


if __name__ == "__main__":
    main()
