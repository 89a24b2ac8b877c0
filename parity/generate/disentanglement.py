"""Scores of codes with known factors, by scikit-learn and NumPy, written from their definitions.

The protocol is that of disentanglement_lib (Locatello et al. 2019; its `evaluation/metrics` were read for the settings, none of it is
used): `LinearSVC(C=0.01, class_weight="balanced")` on single entries, `GradientBoostingClassifier()`, `LogisticRegression()`, 20 bins.
Writes the fixture `disentanglement`:

- `training.codes` F32 `[500, 4]`, `training.factors` I64 `[500, 3]` and the same as `test.*` with 250 points: entry 0 follows factor 0,
  entry 1 factor 1 and a little of factor 2, entry 2 factor 2 by its parity, entry 3 is noise; 3, 2 and 5 values
- settings `mig`, `mig.factors`; `sap`, `sap.factors`; `dci.disentanglement`, `dci.completeness`, `dci.informativeness`;
  `classify`: the share of test points whose factor 0 a logistic regression tells
- `dci.importances` F64 `[3, 4]`

It also writes `spectrum`: `image` U8 `[20, 24, 3]` and `power` F64 `[10]`, the radial power spectrum of that image by `numpy.fft`.
"""

from __future__ import annotations

import numpy as np
import torch
from fixture import Fixture, begin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC

SIZES = [3, 2, 5]


def points(random: np.random.RandomState, count: int) -> tuple[np.ndarray, np.ndarray]:
    factors = np.stack([random.randint(0, size, count) for size in SIZES], 1)
    noise = random.randn(count, 4)
    codes = np.stack(
        [
            factors[:, 0] + 0.2 * noise[:, 0],
            2.0 * factors[:, 1] + 0.3 * factors[:, 2] + 0.4 * noise[:, 1],
            factors[:, 2] % 2 + 0.25 * noise[:, 2],
            noise[:, 3],
        ],
        1,
    )
    return codes.astype(np.float32), factors


def gaps(scores: np.ndarray) -> np.ndarray:
    """For each column the largest less the second largest."""
    ordered = np.sort(scores, 0)
    return ordered[-1] - ordered[-2]


def mutual_information_gap(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    binned = np.stack([np.digitize(column, np.histogram(column, 20)[1][:-1]) for column in codes.T], 1)
    known = np.array([[mutual_info_score(factor, entry) for factor in factors.T] for entry in binned.T])
    entropy = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    return gaps(known) / entropy


def separated_attributes(train: tuple, test: tuple) -> np.ndarray:
    def accuracy(entry: int, factor: int) -> float:
        # Tighter than the default, so that only the definition is left of the difference.
        machine = LinearSVC(C=0.01, class_weight="balanced", tol=1e-10, max_iter=100_000)
        machine.fit(train[0][:, entry, None].astype(np.float64), train[1][:, factor])
        return np.mean(machine.predict(test[0][:, entry, None].astype(np.float64)) == test[1][:, factor])

    return gaps(np.array([[accuracy(entry, factor) for factor in range(3)] for entry in range(4)]))


def certainty(rows: np.ndarray) -> float:
    shares = rows + 1e-11
    shares = shares / shares.sum(1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(1) / np.log(rows.shape[1])
    return float(((1 - entropy) * rows.sum(1) / rows.sum()).sum())


def radial_power(image: np.ndarray) -> np.ndarray:
    height, width, channels = image.shape

    def window(side: int) -> np.ndarray:
        weights = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        return weights / np.linalg.norm(weights)

    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    radius = np.floor(np.hypot(x, y) * min(height, width) + 0.5).astype(int)
    powers = []
    for plane in image.transpose(2, 0, 1).astype(np.float64):
        weighted = (plane - plane.mean()) * np.outer(window(height), window(width))
        power = np.abs(np.fft.fft2(weighted)) ** 2
        powers.append([power[radius == r].mean() for r in range(1, min(height, width) // 2 + 1)])
    return np.mean(powers, 0)


def main() -> None:
    begin(0)
    random = np.random.RandomState(5)
    train, test = points(random, 500), points(random, 250)
    mig, sap = mutual_information_gap(*train), separated_attributes(train, test)
    importances, right = [], []
    for factor in range(3):
        boosting = GradientBoostingClassifier(random_state=0).fit(train[0], train[1][:, factor])
        importances.append(np.abs(boosting.feature_importances_))
        right.append(np.mean(boosting.predict(test[0]) == test[1][:, factor]))
    importances = np.array(importances)
    logistic = LogisticRegression(tol=1e-10, max_iter=10_000).fit(train[0].astype(np.float64), train[1][:, 0])
    settings = {
        "mig": float(mig.mean()),
        "mig.factors": mig.tolist(),
        "sap": float(sap.mean()),
        "sap.factors": sap.tolist(),
        "dci.disentanglement": certainty(importances.T),
        "dci.completeness": certainty(importances),
        "dci.informativeness": float(np.mean(right)),
        "classify": float(np.mean(logistic.predict(test[0].astype(np.float64)) == test[1][:, 0])),
    }
    fixture = Fixture("disentanglement", 5, "scores of codes with known factors by scikit-learn and NumPy", **settings)
    for name, (codes, factors) in {"training": train, "test": test}.items():
        fixture.put(f"{name}.codes", torch.from_numpy(codes))
        fixture.put(f"{name}.factors", torch.from_numpy(factors))
    fixture.put("dci.importances", torch.from_numpy(importances))
    fixture.save()
    print(settings)

    image = random.randint(0, 256, (20, 24, 3)).astype(np.uint8)
    spectrum = Fixture("spectrum", 5, "radial power spectrum of an image by numpy.fft")
    spectrum.put("image", torch.from_numpy(image))
    spectrum.put("power", torch.from_numpy(radial_power(image)))
    spectrum.save()


if __name__ == "__main__":
    main()
