"""Writes parity/fixtures/sources: the same few images in every kind of source that Trompe reads.

Sample c of pixel (x, y) of image i is (7 i + 17 x + 31 y + 53 c + i x y) mod 256; its class is i mod 3. Written with
NumPy, Pillow, pyarrow and Python's own zipfile, tarfile and gzip, so that each reader is checked against another's
writer.

Run: python parity/generate/sources.py
"""

import gzip
import io
import json
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).parents[1] / "fixtures" / "sources"
shutil.rmtree(ROOT, ignore_errors=True)
ROOT.mkdir(parents=True)
COUNT, WIDTH, HEIGHT = 12, 9, 6


def pixels(image, width=WIDTH, height=HEIGHT, channels=3):
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((7 * image + 17 * x + 31 * y + 53 * c + image * x * y) % 256).astype(np.uint8)


def png(image, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels(image, **options)).save(buffer, format="PNG")
    return buffer.getvalue()


STAMP = (1980, 1, 1, 0, 0, 0)
NAMES = [f"{i // 10:05d}/img{i:08d}.png" for i in range(COUNT)]


def archive(name, compression, labels, wide=False):
    with zipfile.ZipFile(ROOT / name, "w", compression) as out:
        for image, path in enumerate(NAMES):
            entry = zipfile.ZipInfo(path, STAMP)
            entry.compress_type = compression
            with out.open(entry, "w", force_zip64=wide) as file:
                file.write(png(image))
        out.writestr(zipfile.ZipInfo("dataset.json", STAMP), json.dumps({"labels": labels}))


archive("stylegan.zip", zipfile.ZIP_STORED, [[path, image % 3] for image, path in enumerate(NAMES)])
archive("deflated-unlabelled.zip", zipfile.ZIP_DEFLATED, None)
archive("vectors-zip64.zip", zipfile.ZIP_STORED, [[path, [image, 0.5]] for image, path in enumerate(NAMES)], wide=True)

GRAY = np.stack([pixels(image, channels=1)[..., 0] for image in range(COUNT)])
LABELS = (np.arange(COUNT) % 3).astype(np.uint8)
(ROOT / "idx").mkdir()
for name, chosen in (("train", slice(0, 9)), ("t10k", slice(9, 12))):
    images = struct.pack(">4I", 0x803, len(GRAY[chosen]), HEIGHT, WIDTH) + GRAY[chosen].tobytes()
    labels = struct.pack(">2I", 0x801, len(LABELS[chosen])) + LABELS[chosen].tobytes()
    (ROOT / f"idx/{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
    (ROOT / f"idx/{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))


def tar(name, files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as out:
        for path, content in files:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    content = buffer.getvalue()
    (ROOT / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


def planes(image):
    return pixels(image, 32, 32).transpose(2, 0, 1).tobytes()


batches = [(f"data_batch_{batch + 1}.bin", range(batch * 2, batch * 2 + 2)) for batch in range(5)]
batches.append(("test_batch.bin", range(10, 12)))
tar("cifar-10-binary.tar.gz",
    [("cifar-10-batches-bin/batches.meta.txt", b"cat\ndog\nship\n\n")]
    + [(f"cifar-10-batches-bin/{name}", b"".join(bytes([image % 3]) + planes(image) for image in images))
       for name, images in batches])
(ROOT / "cifar-100").mkdir()
(ROOT / "cifar-100/fine_label_names.txt").write_text("apple\nbee\nchair\n")
for name, images in (("train", range(10)), ("test", range(10, 12))):
    (ROOT / f"cifar-100/{name}.bin").write_bytes(b"".join(bytes([9, image % 3]) + planes(image) for image in images))

RGB = np.stack([pixels(image) for image in range(COUNT)])
np.save(ROOT / "images.npy", GRAY)
np.savez(ROOT / "stored.npz", images=RGB, labels=LABELS.astype(np.int64))
np.savez_compressed(ROOT / "keras.npz", x_train=RGB[:9], y_train=LABELS[:9].astype(">i4")[:, None], x_test=RGB[9:],
                    y_test=LABELS[9:].astype(np.int16)[:, None])

long = "a-very-long-name" * 8
for shard in range(3):
    tar(f"shard-{shard:04d}.tar",
        [file for image in range(shard * 4, shard * 4 + 4)
         for file in ((f"{long}{image:04d}.png", png(image)), (f"{long}{image:04d}.cls", str(image % 3).encode()))])
tar("plain.tar.gz", [(f"{['cat', 'dog', 'ship'][image % 3]}/{image:02d}.png", png(image)) for image in range(COUNT)])
tar("json.tar", [file for image in range(COUNT) for file in (
    (f"{image:04d}.json", json.dumps({"label": ["cat", "dog", "ship"][image % 3]}).encode()), (f"{image:04d}.png", png(image)))])

for table in ("csv", "jsonl"):
    folder = ROOT / f"table-{table}"
    (folder / "deep").mkdir(parents=True)
    rows = [(f"deep/{image:02d}.png", ["cat", "dog", "ship"][image % 3]) for image in range(COUNT)]
    for image, (name, _) in enumerate(rows):
        (folder / name).write_bytes(png(image))
    if table == "csv":
        text = "file_name,note,label\n" + "".join(f'{name},"a, b",{label}\n' for name, label in rows)
    else:
        text = "".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in rows)
    (folder / f"metadata.{table}").write_text(text)


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NOTE = {"info": {"features": {"picture of": {"_type": "Image"},
                              "kind": {"names": ["cat", "dog", "ship"], "_type": "ClassLabel"}}}}


def table(name, images, schema, columns, **options):
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns(images), schema=schema), path, **options)


def hugging_face(images):
    return {"id": [f"row {image}" for image in images],
            "picture of": [{"bytes": png(image), "path": f"{image:04d}.png"} for image in images],
            "kind": [image % 3 for image in images]}


noted = pa.schema([("id", pa.string()), ("picture of", IMAGE), ("kind", pa.int64())],
                  metadata={"huggingface": json.dumps(NOTE)})
table("hugging-face/data/train-00000-of-00002.parquet", range(5), noted, hugging_face, row_group_size=3)
table("hugging-face/data/train-00001-of-00002.parquet", range(5, 9), noted, hugging_face, compression="zstd")
table("hugging-face/data/test-00000-of-00001.parquet", range(9, 12), noted, hugging_face, compression="none",
      data_page_version="2.0")
plain = pa.schema([("img", pa.binary()), ("label", pa.int32())])
table("bomb.parquet", range(1), plain, lambda images: {"img": [bytes(300 << 20)], "label": [0]}, compression="zstd",
      compression_level=19, use_dictionary=False, write_statistics=False)
table("plain.parquet", range(12), plain,
      lambda images: {"img": [png(image) if image != 5 else None for image in images],
                      "label": [image % 3 for image in images]})
