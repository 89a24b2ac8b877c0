"""A multinomial logistic regression on real digits that says how digit-like, and how varied, generated images are.

Pixels in [0, 1] as 64 numbers, rows 0..1499 of scikit-learn's `load_digits`. It minimises

    sum_i -log softmax(coefficients pixels_i + intercepts)[label_i] + 1/2 |coefficients|^2

which is scikit-learn's L2 penalty with C = 1; the intercepts are free (their common shift is arbitrary: scikit-learn's sum to zero).

Run as a script it writes the fixture `digits_judge`:

- `coefficients` `[10, 64]`, `intercepts` `[10]`, F64, at the exact minimum (Newton's method after scikit-learn)
- `held_out.pixels` `[297, 64]` U8 (0..16), `held_out.labels` `[297]` U8: rows 1500..1796
- `held_out.probabilities` `[297, 10]`, F64
- metadata: `accuracy` and `top_probability` (mean over images of the largest probability) on the held-out rows,
  `top_probability_of_noise` on 10,000 images of uniform noise, `top_probability_of_training_rows`, and the value `objective`
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

TRAIN_ROWS, CLASSES = 1500, 10


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1] `[1797, 64]` and labels `[1797]`."""
    data = load_digits()
    return data.data / 16.0, data.target


def fit(tolerance: float = 1e-4) -> LogisticRegression:
    """scikit-learn's own tolerance by default: its held-out figures agree with the converged ones."""
    pixels, labels = digits()
    return LogisticRegression(C=1.0, max_iter=100_000, tol=tolerance).fit(pixels[:TRAIN_ROWS], labels[:TRAIN_ROWS])


def describe(model: LogisticRegression, images: np.ndarray) -> dict[str, object]:
    """Mean top probability and the share of each class among images `[count, 64]` in [0, 1]."""
    probabilities = model.predict_proba(images)
    shares = np.bincount(probabilities.argmax(1), minlength=CLASSES) / len(images)
    return {"top_probability": float(probabilities.max(1).mean()), "class_shares": shares.tolist()}


def polish(model: LogisticRegression, pixels: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Newton's method from scikit-learn's answer to the exact minimum; returns the objective and the largest gradient left."""
    ones = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    penalised = np.diag([1.0] * pixels.shape[1] + [0.0])
    weights = np.concatenate([model.coef_, model.intercept_[:, None]], axis=1)
    for _ in range(5):
        scores = ones @ weights.T
        scores -= scores.max(1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        probabilities = np.exp(logs)
        value = -logs[np.arange(len(labels)), labels].sum() + 0.5 * (model.coef_**2).sum()
        gradient = (probabilities - np.eye(CLASSES)[labels]).T @ ones + weights @ penalised
        # Curvature between classes a and b: sum_i p_ia (1[a = b] - p_ib) x_i x_i^T.
        spread = probabilities[:, :, None] * (np.eye(CLASSES) - probabilities[:, None, :])
        hessian = np.einsum("iab,ij,ik->ajbk", spread, ones, ones, optimize=True) + np.einsum("ab,jk->ajbk", np.eye(CLASSES), penalised)
        # A common shift of all intercepts changes nothing, so the matrix is singular: least squares takes the shortest step.
        step = np.linalg.lstsq(hessian.reshape(gradient.size, gradient.size), gradient.ravel(), rcond=1e-12)[0]
        weights -= step.reshape(weights.shape)
        model.coef_, model.intercept_ = weights[:, :-1].copy(), weights[:, -1] - weights[:, -1].mean()
    return value, np.abs(gradient).max()


def write_fixture() -> None:
    import torch
    from fixture import Fixture, begin

    begin(71)
    pixels, labels = digits()
    train, held_out = slice(0, TRAIN_ROWS), slice(TRAIN_ROWS, None)
    default, model = fit(), fit(tolerance=1e-8)
    before = model.coef_.copy()
    value, gradient = polish(model, pixels[train], labels[train])
    print(f"Newton's method moved a coefficient by at most {np.abs(model.coef_ - before).max():.1e}; gradient left {gradient:.1e}")

    noise = np.random.default_rng(71).random((10_000, 64))
    scores = {
        "accuracy": float(model.score(pixels[held_out], labels[held_out])),
        "top_probability": describe(model, pixels[held_out])["top_probability"],
        "top_probability_of_training_rows": describe(model, pixels[train])["top_probability"],
        "top_probability_of_noise": describe(model, noise)["top_probability"],
        "objective": float(value),
    }
    for name, value in scores.items():
        print(f"{name:34} {value:.6f}")
    print("with scikit-learn's own tolerance:", default.score(pixels[held_out], labels[held_out]), describe(default, pixels[held_out])["top_probability"])

    fixture = Fixture("digits_judge", 71, "logistic regression on the training rows of scikit-learn's digits", **scores)
    fixture.put("coefficients", torch.from_numpy(model.coef_))
    fixture.put("intercepts", torch.from_numpy(model.intercept_))
    fixture.put("held_out.pixels", torch.from_numpy((pixels[held_out] * 16).astype(np.uint8)))
    fixture.put("held_out.labels", torch.from_numpy(labels[held_out].astype(np.uint8)))
    fixture.put("held_out.probabilities", torch.from_numpy(model.predict_proba(pixels[held_out])))
    fixture.save()


if __name__ == "__main__":
    write_fixture()
