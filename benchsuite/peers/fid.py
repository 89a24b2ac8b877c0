"""FID of two folders of JPEG files: pytorch-fid and `trompe compare`, in turn, from the files to the number.

Makes folders of 256x256 JPEG files (quality 90) and a file of random Inception weights in the published format, which both
sides read. Each turn runs each side as a process of its own, once on few and once on many images; the images a second are the
difference of the images by the difference of the times, so that neither the start nor the distance itself counts. Both sides
use two threads; pytorch-fid takes batches of 64 and, as it does by itself, a worker for each core to read files. Memory is the
largest resident size of the process on many images (pytorch-fid's workers have more of their own, which does not count here).

Needs torch, torchvision, Pillow, NumPy and pytorch-fid==0.3.0.

Run: cargo build --release -p trompe-cli
     python benchsuite/peers/fid.py target/release/trompe [TURNS]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch
import torchvision
from data_loading import make

FEW, MANY, THREADS, BATCH = 64, 256, 2, 64


def theirs(left: str, right: str, weights: str) -> None:
    import pytorch_fid.fid_score
    import pytorch_fid.inception

    torch.set_num_threads(THREADS)
    state = torch.load(weights)
    with mock.patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state):
        value = pytorch_fid.fid_score.calculate_fid_given_paths([left, right], BATCH, torch.device("cpu"), 2048, THREADS)
    print(value)


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds, MiB and the printed score of a process."""
    with tempfile.TemporaryFile() as out:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=os.environ | environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{command} failed")
        out.seek(0)
        text = out.read().decode().strip().split("\n")[-1]
    score = json.loads(text)["scores"]["fid"]["value"] if text.startswith("{") else float(text)
    return seconds, usage.ru_maxrss / 1024, score


def random_weights(path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)


def main() -> None:
    if sys.argv[1] == "--theirs":
        return theirs(*sys.argv[2:])
    trompe, turns = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "all").mkdir()
        make(root / "all")
        files = sorted((root / "all").rglob("*.jpg"))
        folders = {}
        for count in (FEW, MANY):
            for at, side in enumerate("ab"):
                folder = root / f"{side}{count}"
                folder.mkdir()
                for place in range(count):
                    os.link(files[at * MANY + place], folder / f"{place}.jpg")
                folders[side, count] = str(folder)
        weights = root / "inception.pth"
        random_weights(weights)

        def commands(count: int) -> dict[str, list[str]]:
            left, right = folders["a", count], folders["b", count]
            flags = ["--metrics", "fid", "--weights", f"inception={weights}", "--unverified-weights", "--no-cache", "--device", "cpu", "--json"]
            return {
                "theirs": [sys.executable, __file__, "--theirs", left, right, str(weights)],
                "ours": [trompe, "compare", left, right, *flags],
            }

        rows = []
        for turn in range(turns):
            row = {"turn": turn, "cpu": torch.backends.cpu.get_cpu_capability(), "threads": THREADS}
            for side in ("theirs", "ours"):
                few = timed(commands(FEW)[side], {"RAYON_NUM_THREADS": str(THREADS)})
                many = timed(commands(MANY)[side], {"RAYON_NUM_THREADS": str(THREADS)})
                speed = 2 * (MANY - FEW) / (many[0] - few[0])
                row[side] = {"images_per_second": speed, "mebibytes": many[1], "seconds": [few[0], many[0]], "fid": many[2]}
            row["ratio"] = row["ours"]["images_per_second"] / row["theirs"]["images_per_second"]
            rows.append(row)
            print(json.dumps(row), flush=True)
        ratio = statistics.median(row["ratio"] for row in rows)
        memory = statistics.median(row["ours"]["mebibytes"] / row["theirs"]["mebibytes"] for row in rows)
        print(f"{ratio:.2f} times pytorch-fid's images a second, in {memory:.2f} of its memory", file=sys.stderr)


if __name__ == "__main__":
    main()
