"""Forward passes: each function builds one and returns it as a closure, with the number of images that it makes or sees."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import dcgan
import torch
from inception import inception_v3
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from variant import Unavailable, Variant


def fold_batch_norms(network: nn.Module) -> None:
    """Multiplies every batch norm into the convolution of the same block."""
    for block in network.modules():
        if isinstance(getattr(block, "norm", None), nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm, transpose=isinstance(block.conv, nn.ConvTranspose2d))
            block.norm = nn.Identity()


def in_onnxruntime(network: nn.Module, example: Tensor):
    try:
        import onnxruntime
    except ImportError as missing:
        raise Unavailable("onnxruntime is not installed") from missing
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin between two rounds would slow down whoever is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # The exporter reports on standard output, which belongs to the measurements.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path = str(Path(folder) / "network.onnx")
        torch.onnx.export(network, (example,), path, dynamo=True, verbose=False, external_data=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, values = session.get_inputs()[0].name, example.numpy()
    return lambda: session.run(None, {name: values})


def forward(variant: Variant, network: nn.Module, example: Tensor):
    network.eval()
    if variant.onnxruntime:
        return in_onnxruntime(network, example), len(example)
    if variant.fused:
        fold_batch_norms(network)
    network, example = variant.prepare(network), variant.layout(example)

    def step() -> None:
        with torch.inference_mode():
            network(example)

    return step, len(example)


def generate_dcgan64(variant: Variant):
    generator = dcgan.Generator(100, dcgan.published_widths(64, 64)[::-1], 3)
    dcgan.initialise_as_published(generator)
    return forward(variant, generator, torch.randn(64, 100))


STEPS = {
    "dcgan64-generate": generate_dcgan64,
    "inception": lambda variant: forward(variant, inception_v3(), torch.rand(32, 3, 299, 299) * 2 - 1),
}
