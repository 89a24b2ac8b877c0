"""Errors of PyTorch's operations in f32 against the same in f64, for `cargo xtask bench accuracy`.

Reads cases from standard input, one JSON object a line, and answers each with a line of `[[rms, largest], ...]`, one pair for each
direction: the root of the mean squared error and the largest error, both divided by the largest exact number. Numbers are
uniform in [-1, 1) from a seed of PyTorch's own; ours are drawn alike, so the figures compare and the numbers do not.
"""

import json
import sys

import torch
from torch.nn import functional as F


def convolution(case):
    batch, groups = case["batch"], case["groups"]
    inputs, outputs = case["channels"]
    features = torch.rand(batch, inputs, *case["size"]) * 2 - 1
    weight = torch.rand(outputs, inputs // groups, *case["kernel"]) * 2 - 1
    geometry = (None, case["stride"], case["padding"], 1, groups)
    shape = F.conv2d(features, weight, *geometry).shape
    gradient = torch.rand(shape) * 2 - 1

    def run(features, weight, gradient):
        features, weight = features.clone().requires_grad_(), weight.clone().requires_grad_()
        result = F.conv2d(features, weight, *geometry)
        result.backward(gradient)
        return result.detach(), features.grad, weight.grad

    return run, (features, weight, gradient)


def batch_norm(case):
    features = torch.rand(case["rows"], case["channels"]) * 4 - 2
    scale, shift = torch.rand(2, case["channels"]) * 4 - 2
    gradient = torch.rand_like(features) * 4 - 2

    def run(features, scale, shift, gradient):
        features, scale = features.clone().requires_grad_(), scale.clone().requires_grad_()
        result = F.leaky_relu(F.batch_norm(features, None, None, scale, shift, training=True), 0.2)
        result.backward(gradient)
        return result.detach(), features.grad, scale.grad

    return run, (features, scale, shift, gradient)


def activation(case):
    values = torch.rand(case["len"]) * 16 - 8
    gradient = torch.rand_like(values) * 4 - 2
    function = {"silu": F.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[case["function"]]

    def run(values, gradient):
        values = values.clone().requires_grad_()
        result = function(values)
        result.backward(gradient)
        return result.detach(), values.grad

    return run, (values, gradient)


KINDS = {"convolution": convolution, "batch-norm": batch_norm, "activation": activation}


def main():
    torch.manual_seed(0)
    for line in sys.stdin:
        case = json.loads(line)
        run, arguments = KINDS[case["kind"]](case)
        errors = []
        for found, exact in zip(run(*arguments), run(*(argument.double() for argument in arguments))):
            distance = found.double() - exact
            errors.append([(distance**2).mean().sqrt().item(), distance.abs().max().item()])
            errors[-1] = [error / exact.abs().max().item() for error in errors[-1]]
        print(json.dumps(errors), flush=True)


if __name__ == "__main__":
    main()
