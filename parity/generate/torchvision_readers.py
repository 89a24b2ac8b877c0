"""Writes parity/fixtures/torchvision: what torchvision's readers make of folders of pictures, of MNIST and of CIFAR.

`folder/` holds pictures in folders named like their classes; `readers.json` what torchvision's `ImageFolder` reads of it, and
what its `MNIST`, `CIFAR10` and `CIFAR100` read of the files in `fixtures/sources` (run `sources.py` first). torchvision takes
CIFAR only as Python's pickles, so those are made from the bytes of the binary version.

Each reader has `classes` and `images`: name (of a folder's pictures), label, width, height, and the RGB or gray bytes in hex.

Run: python parity/generate/torchvision_readers.py
"""

import gzip
import hashlib
import json
import pickle
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image

FIXTURES = Path(__file__).parents[1] / "fixtures"
SOURCES, ROOT = FIXTURES / "sources", FIXTURES / "torchvision"
shutil.rmtree(ROOT, ignore_errors=True)


def picture(image, channels):
    y, x, c = np.mgrid[0:12, 0:14, 0:channels]
    # Smooth, so that a JPEG of it has no more than rounding to disagree about.
    return (128 + 90 * np.sin((x + image) / 5 + c) * np.cos((y - image) / 4)).astype(np.uint8)


def save(name, image, mode, **options):
    path = ROOT / "folder" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    whole = Image.fromarray(picture(image, channels).squeeze(), mode)
    options.pop("palette", None) and (whole := whole.quantize(16))
    whole.save(path, **options)


save("ape/a colour.png", 0, "RGB")
save("ape/deep/below/gray.png", 1, "L")
save("Bee/palette.png", 2, "RGB", palette=True)
save("Bee/opacity.png", 3, "RGBA")
save("cat/photo.jpg", 4, "RGB", quality=95)
save("cat/upper.JPEG", 5, "L", quality=90)
save("cat/lossless.webp", 6, "RGB", lossless=True)
save("cat/old.bmp", 7, "RGB")


def told(name, image, label):
    array = np.asarray(image)
    height, width = array.shape[:2]
    return {"name": name, "label": int(label), "width": width, "height": height, "pixels": array.tobytes().hex()}


def read(dataset):
    names = getattr(dataset, "samples", None)
    name = lambda index: Path(names[index][0]).relative_to(ROOT / "folder").as_posix() if names else ""
    return [told(name(index), *dataset[index]) for index in range(len(dataset))]


readers = {}
folder = torchvision.datasets.ImageFolder(ROOT / "folder")
readers["folder"] = {"classes": folder.classes, "images": read(folder)}

with tempfile.TemporaryDirectory() as temporary:
    temporary = Path(temporary)
    raw = temporary / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (SOURCES / "idx").iterdir():
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    both = [torchvision.datasets.MNIST(temporary, train=train) for train in (True, False)]
    readers["idx"] = {"classes": [], "images": [image for part in both for image in read(part)]}


def records(content, bytes_before):
    rows = np.frombuffer(content, np.uint8).reshape(-1, bytes_before + 3072)
    return rows[:, bytes_before - 1].tolist(), rows[:, bytes_before:].copy()


def cifar(kind, folder, label_key, names_key, names, files):
    """`files`: (name of the pickle, labels, rows), the last one for testing."""
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / folder
        base.mkdir()

        def write(name, value):
            (base / name).write_bytes(pickle.dumps(value))
            return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

        lists = [write(name, {label_key: labels, "data": rows}) for name, (labels, rows) in files]
        meta, md5 = write("meta", {names_key: names})
        ours = type(kind.__name__, (kind,), {
            "base_folder": folder, "train_list": lists[:-1], "test_list": lists[-1:],
            "meta": {"filename": meta, "key": names_key, "md5": md5}})
        both = [ours(temporary, train=train) for train in (True, False)]
        return {"classes": both[0].classes, "images": [image for part in both for image in read(part)]}


with tarfile.open(SOURCES / "cifar-10-binary.tar.gz") as archive:
    content = {Path(member.name).name: archive.extractfile(member).read() for member in archive if member.isfile()}
ten = [name for name in sorted(content) if name.startswith("data_batch")] + ["test_batch.bin"]
readers["cifar-10"] = cifar(
    torchvision.datasets.CIFAR10, "ten", "labels", "label_names", content["batches.meta.txt"].decode().split(),
    [(name.removesuffix(".bin"), records(content[name], 1)) for name in ten])
hundred = SOURCES / "cifar-100"
readers["cifar-100"] = cifar(
    torchvision.datasets.CIFAR100, "hundred", "fine_labels", "fine_label_names",
    (hundred / "fine_label_names.txt").read_text().split(),
    [(name, records((hundred / f"{name}.bin").read_bytes(), 2)) for name in ("train", "test")])

about = {"torchvision": torchvision.__version__, "pillow": Image.__version__}
(ROOT / "readers.json").write_text(json.dumps({"about": about, "readers": readers}, indent=1) + "\n")
print({name: len(reader["images"]) for name, reader in readers.items()}, about)
