"""Scores and their networks as the published tools compute them, with seeded weights instead of the published ones.

Nothing is downloaded: every tensor of every network is a formula of its name (`weights`), every image a formula of its number
(`image`), and `parity/tests/metrics.rs` evaluates the same formulas. Writes the fixture `metrics`:

- `resized.<protocol>.<image>` F32 `[23, 23, 3]`: resizers of pytorch-fid (PyTorch), torch-fidelity and clean-fid, values 0 to 255
- `features.<protocol>.<tap>` F32 `[3, channels]`: Inception; `tf` by torch-fidelity, `pytorch` by pytorch-fid, `clean` by
  clean-fid's resizer and scaling before torch-fidelity's network; `logits` F32 `[3, 1008]` without bias
- `vgg16` F32 `[3, 4096]`: torch-fidelity's `fc2_relu`
- `lpips.<net>` F32 `[2]`: lpips 0.1.4, images 1 and 2 against their blurred copies; linear weights are formulas too
- `left`, `right` F32 `[150, 64]`, `[140, 64]`: features of two sets (more images than dimensions: covariances of full rank)
- settings `fid.<tool>`, `kid`, `kid_subset`, `isc`, `precision`, `recall`, `density`, `coverage`: what the tools say of them;
  `subset.left`, `subset.right` I64: the images of one subset

    pip install torch-fidelity==0.4.0 pytorch-fid==0.3.0 clean-fid==0.1.35 lpips==0.1.4 prdc==0.2
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torchvision
from fixture import Fixture, begin

MASK = (1 << 64) - 1
SIZES = [(32, 32), (61, 40), (340, 310)]  # width, height
SIDE = 23


def words(name: str, count: int) -> np.ndarray:
    """`count` random 64-bit words: SplitMix64 from the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        x = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniform(name: str, count: int) -> np.ndarray:
    """Numbers in [0, 1), exact in f32."""
    return (words(name, count) >> np.uint64(40)).astype(np.float64) / (1 << 24)


def weights(name: str, shape: list[int]) -> torch.Tensor:
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("running_var"):
        values = 0.5 + u
    elif name.endswith("bn.weight"):
        values = 0.8 + 0.4 * u
    elif name.startswith("lin"):
        values = 0.1 * u
    elif len(shape) == 1:
        values = 0.2 * u - 0.1
    else:
        values = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def seeded(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {name: value if name.endswith("num_batches_tracked") else weights(name, list(value.shape)) for name, value in state.items()}


def image(number: int) -> np.ndarray:
    """Smooth colours with noise on top, `[height, width, 3]`."""
    width, height = SIZES[number]
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    smooth = (x * (7 + number) // 3 + y * (5 + c) // 2 + 40 * c) % 256
    noise = (words(f"image {number}", height * width * 3) >> np.uint64(58)).astype(np.int64).reshape(smooth.shape)
    return np.clip(smooth * 3 // 4 + noise, 0, 255).astype(np.uint8)


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def resizers() -> dict:
    from cleanfid.resize import make_resizer
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as tf1

    def pytorch(x: np.ndarray, side: int) -> torch.Tensor:
        x = planes(x).float() / 255
        return torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)[0].permute(1, 2, 0) * 255

    return {
        "pytorch": pytorch,
        "tf": lambda x, side: tf1(planes(x).float(), size=(side, side), align_corners=False)[0].permute(1, 2, 0),
        "clean": lambda x, side: torch.from_numpy(make_resizer("PIL", False, "bicubic", (side, side))(x)),
    }


def inception_features(fixture: Fixture, folder: Path) -> None:
    import pytorch_fid.inception as pytorch_fid
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    plain = torchvision.models.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    state = seeded(plain)
    path = folder / "inception.pth"
    torch.save(state, path)
    taps = ["64", "192", "768", "2048"]
    fidelity = FeatureExtractorInceptionV3("inception-v3-compat", taps + ["logits_unbiased"], feature_extractor_weights_path=str(path))
    with mock.patch.object(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: state):
        theirs = pytorch_fid.InceptionV3([0, 1, 2, 3]).eval()
    rows: dict[str, list[torch.Tensor]] = {}

    def put(name: str, value: torch.Tensor) -> None:
        rows.setdefault(name, []).append(value.reshape(1, -1))

    with torch.no_grad():
        for number in range(len(SIZES)):
            pixels = planes(image(number))
            *features, logits = fidelity(pixels)
            for tap, value in zip(taps, features):
                put(f"features.tf.{tap}", value)
            put("logits", logits)
            for tap, value in zip(taps, theirs(pixels.float() / 255)):
                put(f"features.pytorch.{tap}", value.mean((2, 3)))
            clean = resizers()["clean"](image(number), 299).permute(2, 0, 1)[None]
            # The network alone: its own resizer and scaling are passed by.
            with mock.patch("torch_fidelity.feature_extractor_inceptionv3.interpolate_bilinear_2d_like_tensorflow1x", lambda x, **_: clean):
                *features, _ = fidelity(pixels)
            put("features.clean.2048", features[3])
    for name, values in rows.items():
        fixture.put(name, torch.cat(values))


def vgg_features(fixture: Fixture, folder: Path) -> None:
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    path = folder / "vgg16.pth"
    torch.save(seeded(torchvision.models.vgg16(init_weights=False)), path)
    vgg = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(path))
    with torch.no_grad():
        fixture.put("vgg16", torch.cat([vgg(planes(image(number)))[0] for number in range(len(SIZES))]))


def lpips_distances(fixture: Fixture) -> None:
    import lpips
    import lpips.pretrained_networks as trunks

    def blurred(x: torch.Tensor) -> torch.Tensor:
        """Mean of each pixel and its right neighbour (the last of itself), in whole numbers."""
        right = torch.cat([x[..., 1:], x[..., -1:]], -1)
        return (x.int() + right.int()) // 2

    builders = {"alex": ("alexnet", {}), "squeeze": ("squeezenet1_1", {}), "vgg": ("vgg16", {"init_weights": False})}
    for net, (builder, options) in builders.items():
        network = getattr(torchvision.models, builder)(**options)
        network.load_state_dict(seeded(network))
        with mock.patch.object(trunks.tv, builder, lambda pretrained: network):
            distance = lpips.LPIPS(net=net, pretrained=False, verbose=False).eval()
        for name, module in distance.named_children():
            if name.startswith("lin") and name != "lins":
                weight = module.model[-1].weight
                weight.data = weights(f"{name}.model.1.weight", list(weight.shape))
        values = []
        with torch.no_grad():
            for number in (1, 2):
                x = planes(image(number))
                values.append(distance(x.float() / 127.5 - 1, blurred(x).float() / 127.5 - 1).reshape(1))
        fixture.put(f"lpips.{net}", torch.cat(values))


def sets(fixture_settings: dict) -> dict[str, torch.Tensor]:
    import cleanfid.fid
    import prdc
    import pytorch_fid.fid_score
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kernel_poly, mmd2
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    def features(name: str, count: int, shift: float) -> np.ndarray:
        u = uniform(name, count * 64).reshape(count, 64)
        common = uniform(f"{name} common", count)[:, None]
        return (np.maximum(u + common - 0.7 + shift, 0) * np.linspace(0.5, 2, 64)).astype(np.float32)

    left, right = features("left", 150, 0.0), features("right", 140, 0.1)
    mean = [x.astype(np.float64).mean(0) for x in (left, right)]
    covariance = [np.cov(x.astype(np.float64), rowvar=False) for x in (left, right)]
    fid = pytorch_fid.fid_score.calculate_frechet_distance
    fixture_settings["fid.pytorch"] = float(fid(mean[0], covariance[0], mean[1], covariance[1]))
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (left, right)]
    fixture_settings["fid.tf"] = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    fixture_settings["fid.clean"] = float(cleanfid.fid.fid_from_feats(left, right))
    subset = [np.argsort(words(f"subset {n}", n))[:100] for n in (150, 140)]
    x, y = left[subset[0]].astype(np.float64), right[subset[1]].astype(np.float64)
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    kernel = [kernel_poly(a, b, **options) for a, b in ((x, x), (x, y), (y, y))]
    fixture_settings["kid"] = float(mmd2(*kernel))
    scores = isc_features_to_metric(torch.from_numpy(left) * 5, shuffle=False)
    fixture_settings["isc"] = scores["inception_score_mean"]
    generated, real = torch.from_numpy(right), torch.from_numpy(left)
    precision, recall = calculate_precision_recall_full(generated.double(), real.double())
    fixture_settings |= {"precision": precision, "recall": recall}
    manifold = prdc.compute_prdc(real_features=left.astype(np.float64), fake_features=right.astype(np.float64), nearest_k=5)
    fixture_settings |= {name: float(manifold[name]) for name in ("density", "coverage")}
    indices = {f"subset.{name}": torch.from_numpy(places) for name, places in zip(("left", "right"), subset)}
    return {"left": real, "right": generated} | indices


def main() -> None:
    begin(0)
    settings: dict = {}
    tensors = sets(settings)
    fixture = Fixture("metrics", 0, "scores and features of the published tools with seeded weights", **settings)
    for name, value in tensors.items():
        fixture.put(name, value)
    for protocol, resize in resizers().items():
        for number in range(len(SIZES)):
            fixture.put(f"resized.{protocol}.{number}", resize(image(number), SIDE).float())
    with tempfile.TemporaryDirectory() as folder:
        inception_features(fixture, Path(folder))
        vgg_features(fixture, Path(folder))
    lpips_distances(fixture)
    fixture.save()
    print(settings)


if __name__ == "__main__":
    main()
