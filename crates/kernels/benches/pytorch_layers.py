"""Times the layers of convolution.rs in PyTorch, in turn with ours, and prints the ratios of the medians.

    cargo bench -p trompe-kernels --bench convolution --no-run      # prints the path of the binary
    python pytorch_layers.py BINARY [--threads 1] [--rounds 3] [--layer PART_OF_A_NAME]

Both are timed as a training step has them: ours prepares its weights in each call, PyTorch reorders its own. On one
thread the time is that on the CPU, which a busy machine disturbs less; on several it is that on the wall.
"""

import argparse
import os
import statistics
import subprocess
import time

import torch

# name, batch, size, channels in and out, kernel, stride, padding, groups: as in convolution.rs.
LAYERS = [
    ("dcgan 3-64 at 64", 64, 64, 3, 64, 4, 2, 1, 1),
    ("dcgan 64-128 at 32", 64, 32, 64, 128, 4, 2, 1, 1),
    ("dcgan 128-256 at 16", 64, 16, 128, 256, 4, 2, 1, 1),
    ("dcgan 256-512 at 8", 64, 8, 256, 512, 4, 2, 1, 1),
    ("dcgan 512-1 at 4", 64, 4, 512, 1, 4, 1, 0, 1),
    ("dcgan 512-100 at 4", 64, 4, 512, 100, 4, 1, 0, 1),
    ("k3 64-64 at 32", 64, 32, 64, 64, 3, 1, 1, 1),
    ("vae 3-32 at 64", 64, 64, 3, 32, 3, 2, 1, 1),
    ("vae 32-64 at 32", 64, 32, 32, 64, 3, 2, 1, 1),
    ("vae 64-128 at 16", 64, 16, 64, 128, 3, 2, 1, 1),
    ("vae 128-256 at 8", 64, 8, 128, 256, 3, 2, 1, 1),
    ("r3gan 1x1 256-512 at 32", 16, 32, 256, 512, 1, 1, 0, 1),
    ("r3gan 1x1 512-256 at 32", 16, 32, 512, 256, 1, 1, 0, 1),
    ("r3gan 3x3 256 in 16 groups at 32", 16, 32, 256, 256, 3, 1, 1, 16),
    ("depthwise 3x3 256 at 32", 16, 32, 256, 256, 3, 1, 1, 256),
    ("digits 16-32 at 4", 64, 4, 16, 32, 4, 2, 1, 1),
]
DIRECTIONS = ["forward", "input gradient", "weight gradient"]


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


def pytorch(layer, channels_last, clock, rounds):
    _, batch, size, inputs, outputs, kernel, stride, padding, groups = layer
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = torch.rand(batch, inputs, size, size).contiguous(memory_format=layout)
    weight = torch.rand(outputs, inputs // groups, kernel, kernel).contiguous(memory_format=layout)

    def forward():
        return torch.nn.functional.conv2d(features, weight, None, stride, padding, 1, groups)

    gradient = torch.rand_like(forward())

    def backward(mask):
        return torch.ops.aten.convolution_backward(
            gradient, features, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, mask
        )

    works = [forward, lambda: backward([True, False, False]), lambda: backward([False, True, False])]
    return [milliseconds(work, clock, rounds) for work in works]


def ours(binary, layer, threads, rounds):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    command = [binary, layer[0], "--rounds", str(rounds)]
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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    print(f"PyTorch {torch.__version__}, {arguments.threads} thread(s); ms ours, PyTorch default (ratio), channels_last (ratio)")
    for layer in LAYERS:
        if arguments.layer not in layer[0]:
            continue
        turns = [
            (
                ours(arguments.binary, layer, arguments.threads, arguments.rounds),
                pytorch(layer, False, clock, arguments.rounds),
                pytorch(layer, True, clock, arguments.rounds),
            )
            for _ in range(arguments.turns)
        ]
        for index, direction in enumerate(DIRECTIONS):
            mine, default, last = (statistics.median(turn[side][index] for turn in turns) for side in range(3))
            print(
                f"{layer[0]:34s} {direction:16s} {mine:8.3f}  {default:8.3f} ({default / mine:5.2f}x)"
                f"  {last:8.3f} ({last / mine:5.2f}x)",
                flush=True,
            )


main()
