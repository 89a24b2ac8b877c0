"""Times single convolutions in PyTorch, in turn with ours, and prints the ratios of the medians.

`cargo xtask bench layers` builds our program and starts this script with it:

    python convolutions.py BINARY [--threads 1] [--rounds 3] [--turns 3] [--layer PART_OF_A_NAME] [--level avx2] [--out FILE]

The layers are those that `BINARY --list` prints. Both sides are timed as a training step has them: ours prepares its weights in
each call, PyTorch reorders its own. On one thread the time is that on the CPU, which a busy machine disturbs less; on several it is
that on the wall. `--level avx2` holds both sides to AVX2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

DIRECTIONS = ["forward", "input gradient", "weight gradient"]
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def listed(binary):
    """Each layer as (name, batch, groups, size, channels, kernel, stride, padding)."""
    lines = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        name, *numbers = line.split("\t")
        batch, groups, *rest = map(int, numbers)
        yield name, batch, groups, *zip(rest[::2], rest[1::2])


def milliseconds(work, clock, rounds):
    """The median time of a call, over rounds of at least 0.05 s."""

    def timed(calls):
        start = clock()
        for _ in range(calls):
            work()
        return clock() - start

    calls = 1
    while timed(calls) < 0.05:
        calls *= 2
    return statistics.median(timed(calls) * 1e3 / calls for _ in range(rounds))


def pytorch(torch, layer, channels_last, clock, rounds):
    _, batch, groups, size, channels, kernel, stride, padding = layer
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = torch.rand(batch, channels[0], *size).contiguous(memory_format=layout)
    weight = torch.rand(channels[1], channels[0] // groups, *kernel).contiguous(memory_format=layout)

    def forward():
        return torch.nn.functional.conv2d(features, weight, None, stride, padding, 1, groups)

    gradient = torch.rand_like(forward())

    def backward(mask):
        return torch.ops.aten.convolution_backward(
            gradient, features, weight, None, stride, padding, [1, 1], False, [0, 0], groups, mask
        )

    works = [forward, lambda: backward([True, False, False]), lambda: backward([False, True, False])]
    return [milliseconds(work, clock, rounds) for work in works]


def ours(arguments, layer):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(arguments.threads))
    command = [arguments.binary, layer[0], "--rounds", str(arguments.rounds), "--level", arguments.level]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    times = {direction: float(time) for _, direction, time, _ in (line.split("\t") for line in lines)}
    return [times[direction] for direction in DIRECTIONS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--layer", default="")
    parser.add_argument("--level", choices=["best", "avx2"], default="best")
    parser.add_argument("--out", help="append raw numbers to this file, one JSON object a line")
    arguments = parser.parse_args()
    if arguments.level == "avx2":
        os.environ |= AVX2  # before PyTorch looks

    import torch

    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    print(
        f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), {arguments.threads} thread(s);"
        " ms ours, PyTorch default (ratio), channels_last (ratio)",
        flush=True,
    )
    for layer in listed(arguments.binary):
        if arguments.layer not in layer[0]:
            continue
        turns = [
            (
                ours(arguments, layer),
                pytorch(torch, layer, False, clock, arguments.rounds),
                pytorch(torch, layer, True, clock, arguments.rounds),
            )
            for _ in range(arguments.turns)
        ]
        for index, direction in enumerate(DIRECTIONS):
            sides = [[turn[side][index] for turn in turns] for side in range(3)]
            mine, default, last = map(statistics.median, sides)
            print(
                f"{layer[0]:34s} {direction:16s} {mine:8.3f}  {default:8.3f} ({default / mine:5.2f}x)"
                f"  {last:8.3f} ({last / mine:5.2f}x)",
                flush=True,
            )
            if arguments.out:
                record = dict(zip(["ours_ms", "default_ms", "channels_last_ms"], sides))
                record |= {"layer": layer[0], "direction": direction, "threads": arguments.threads, "level": arguments.level}
                with open(arguments.out, "a") as file:
                    print(json.dumps(record), file=file)


if __name__ == "__main__":
    sys.exit(main())
