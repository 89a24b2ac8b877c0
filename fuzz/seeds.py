"""Fills fuzz/corpus from the fixtures, so that fuzzing begins with files that are read.

Run: python fuzz/seeds.py
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent
FIXTURES = ROOT.parent / "parity" / "fixtures"
SOURCES = FIXTURES / "sources"


def seed(target, name, content):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


shutil.rmtree(ROOT / "corpus", ignore_errors=True)
for path in sorted((FIXTURES / "images" / "files").glob("*.jpg")):
    seed("jpeg", path.name, path.read_bytes()[3:])
for choice, pattern in ((b"\0", "*.zip"), (b"\1", "*.tar")):
    for path in sorted(SOURCES.glob(pattern)):
        seed("archive", path.name, choice + path.read_bytes())
for choice, path in ((b"\0", "idx/t10k-images-idx3-ubyte.gz"), (b"\1", "images.npy"), (b"\1", "stored.npz"),
                     (b"\2", "cifar-10-binary.tar.gz")):
    seed("array", Path(path).name, choice + (SOURCES / path).read_bytes())
head = (b'{"version":1,"images":1,"spec":{"width":1,"height":1,"channels":"gray"},"levels":256,"has_split":true,'
        b'"classes":["a"],"factors":[{"name":"f","values":["0","1"]}],"vector_width":2}\n')
seed("pack", "one", head + bytes(40) + b"\1\0" + bytes(8))
seed("labels", "stylegan", b'\0{"labels": [["a.png", 6]]}')
seed("labels", "vector", b'\0{"labels": [["a.png", [0.5, 1]]]}')
seed("labels", "csv", b'\1file_name,note,label\na.png,"x, y",cat\n')
seed("labels", "lines", b'\2{"file_name": "a.png", "label": "cat"}\n')
