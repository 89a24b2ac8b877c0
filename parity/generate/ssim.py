"""SSIM and PSNR of two patterns, by their definitions in numpy (Wang et al. 2004).

The numbers stand in the tests of crates/metrics/src/fidelity.rs. Run with any numpy.
"""

import numpy as np


def ssim(a, b, window):
    a, b = a.astype(np.float64), b.astype(np.float64)
    at = np.arange(window) - window // 2
    line = np.exp(-(at**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - window + 1):
        for x in range(a.shape[1] - window + 1):
            p = a[y : y + window, x : x + window]
            q = b[y : y + window, x : x + window]
            mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
            var_p = (weights * (p - mean_p) ** 2).sum()
            var_q = (weights * (q - mean_q) ** 2).sum()
            both = (weights * (p - mean_p) * (q - mean_q)).sum()
            values.append(
                (2 * mean_p * mean_q + c1)
                * (2 * both + c2)
                / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
            )
    return np.mean(values)


for height, width, window in [(12, 16, 11), (8, 8, 7)]:
    i = np.arange(height * width)
    a = (i * 37 + 11) % 256
    b = np.minimum(a + i * i % 41, 255)
    psnr = 10 * np.log10(255**2 / np.mean((a - b) ** 2))
    a, b = a.reshape(height, width), b.reshape(height, width)
    print(f"{width}x{height}: ssim {ssim(a, b, window):.15f}, psnr {psnr:.15f}")
