"""Writes the embedded set of digits: crates/data/src/source/builtin/digits.bin.gz.

The 1,797 scans of scikit-learn's `load_digits`, in its order: first one byte for each label, then 64 bytes for each
scan (rows from the top, gray levels 0 to 16), compressed with gzip. Made with scikit-learn 1.9.1.

Run: python parity/generate/digits.py
"""

import gzip
import hashlib
from pathlib import Path

from sklearn.datasets import load_digits

digits = load_digits()
raw = digits.target.astype("uint8").tobytes() + digits.data.astype("uint8").tobytes()
assert len(raw) == 1797 * 65 and digits.data.max() == 16
target = Path(__file__).parents[2] / "crates/data/src/source/builtin/digits.bin.gz"
target.write_bytes(gzip.compress(raw, 9, mtime=0))
print(target, target.stat().st_size, "bytes; sha256 of the content:", hashlib.sha256(raw).hexdigest())
