"""Prints the known answers of trompe-random, computed independently: ChaCha with 8 rounds in plain Python.

Run: python parity/generate/random_stream.py    (needs scipy for the normal quantile; made with scipy 1.17)
The numbers stand in crates/random/src/stream.rs, test `known_answers_stay`.
"""

import hashlib
import struct

import numpy as np
from scipy.special import ndtri

MASK = 0xFFFFFFFF


def quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK
        s[z] ^= s[x]
        s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & MASK


def block(key, counter, nonce):
    """One block of 16 words: Bernstein's layout, 64-bit counter, 64-bit nonce."""
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    start += [counter & MASK, counter >> 32, nonce & MASK, nonce >> 32]
    s = start[:]
    for _ in range(4):
        for column in range(4):
            quarter(s, column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(s, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return [(a + b) & MASK for a, b in zip(s, start)]


seed, purpose, index = 42, b"latents", 7
key = hashlib.sha256(b"trompe-random 1\0" + struct.pack("<Q", seed) + purpose).digest()
words = block(key, 0, index)
long = words[0] | words[1] << 32
print("words      ", words[:3])
print("long       ", long)
print("uniform_f32", np.float32(words[0] >> 8) * np.float32(2.0**-24))
print("uniform_f64", repr((long >> 11) * 2.0**-53))
print("below(1000)", long * 1000 >> 64)
print("normal     ", [np.float32(ndtri((word + 0.5) / 2**32)) for word in words[:4]])
