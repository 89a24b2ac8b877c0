"""Loading JPEG files: torchvision's ImageFolder and DataLoader with two workers, and Trompe, in turn.

Makes 2,048 JPEG files of 256x256 pixels (quality 90, colour subsampled as cameras do) in eight class folders, then
reads them as batches of 64 RGB images of 64x64 pixels. Both sides hand out unsigned bytes; the SHA-256 of all pixels
shows that they are the same pixels. `first_cpu` counts processor seconds instead of time: the fairer number on a busy
machine. Needs torch, torchvision, Pillow and NumPy.

Run: cargo bench -p trompe-data --bench loading --no-run --profile release
     python benchsuite/peers/data_loading.py PATH-TO-THE-BENCH-BINARY [ROUNDS]
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

COUNT, SIDE, SMALL, BATCH, WORKERS = 2048, 256, 64, 64, 2


def make(root):
    """Smooth colour, edges and grain: files of the size of photographs (about 25 kB)."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for image in range(COUNT):
        waves = np.zeros((SIDE, SIDE, 3))
        for _ in range(8):
            across, down = random.normal(0, 12, 2)
            phases = random.uniform(0, 6.28, 3)
            waves += np.cos(6.28 * (across * x + down * y)[..., None] + phases) * 20
        disc = (x - random.uniform()) ** 2 + (y - random.uniform()) ** 2 < random.uniform(0.01, 0.1)
        waves[disc] = random.uniform(-100, 100, 3)
        pixels = np.clip(waves + random.normal(0, 6, waves.shape) + 128, 0, 255).astype(np.uint8)
        folder = root / f"class-{image % 8}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{image:05d}.jpg", quality=90, subsampling=2)


SHRINK = transforms.Compose([transforms.Resize(SMALL), transforms.PILToTensor()])


def cpu_seconds(*processes):
    """Time that processors have spent in these processes."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def peer(root):
    loader = DataLoader(datasets.ImageFolder(root, SHRINK), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True,
                        persistent_workers=True)
    seconds = []
    before = cpu_seconds(os.getpid())
    for epoch in range(2):
        start = time.perf_counter()
        images = sum(len(labels) for _, labels in loader)
        seconds.append(time.perf_counter() - start)
        if epoch == 0:
            workers = [worker.pid for worker in loader._iterator._workers]
            processors = cpu_seconds(os.getpid(), *workers) - before
    return {"images": images, "first": seconds[0], "first_cpu": processors, "later": seconds[1]}


def pixels(root):
    """The same hash as Trompe's, of the same pixels in the order of the files."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.jpg")):
        digest.update(SHRINK(Image.open(path).convert("RGB")).permute(1, 2, 0).contiguous().numpy().tobytes())
    return digest.hexdigest()


def main():
    torch.set_num_threads(2)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root)
        ours, theirs = [], []
        for number in range(rounds):
            theirs.append(peer(root))
            ours.append(json.loads(subprocess.check_output([sys.argv[1], str(root), str(WORKERS)])))
            print(f"round {number}: torchvision {theirs[-1]} trompe {ours[-1]}", flush=True)
        same = pixels(root) == ours[0]["sha256"]
    result = {"pixels equal": same}
    for epoch in ("first", "first_cpu", "later"):
        rate = {name: statistics.median(run["images"] / run[epoch] for run in runs)
                for name, runs in (("torchvision", theirs), ("trompe", ours))}
        result[epoch] = {"images/s": rate, "factor": rate["trompe"] / rate["torchvision"]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
