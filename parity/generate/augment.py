"""Augmentations of a batch and what a cotangent is at the images before them, by PyTorch's reverse mode, in f64 and f32.

The drawn numbers are inputs: `input.<case>.draws` `[6, 19]`, in columns mirrored (0 or 1), quarter turns, shift right and down in pixels, scale,
rotation, stretch, rotation, shift right and down, brightness, contrast, luma inverted (0 or 1), hue, saturation, then top, bottom, left, right
of the hole. For `diff` only the shifts by whole pixels, brightness, contrast (about the image's mean), saturation and the hole count.

- `input.<case>.images`, `input.<case>.cotangent` `[6, channels, height, width]`
- `f64.` and `f32.<case>.augmented`, `.gradient`

Cases: `ada_rgb` 12x8x3 and `ada_gray` 8x12x1 (width x height), with `grid_sample` (bilinear, reflection); `diff` 8x8x3, `roll` 12x8x3 (ADA's colours
and no motion but a roll along x).
"""

import math

import torch
from fixture import PRECISIONS, Fixture, begin
from torch.nn import functional as F

SEED, BATCH = 97, 6
draws_of = begin(SEED)


def uniform(low, high):
    return low + (high - low) * torch.rand((), generator=draws_of).item()


def draw(width, height, whole_turns):
    hole = sorted(int(uniform(0, height + 1)) for _ in range(2)) + sorted(int(uniform(0, width + 1)) for _ in range(2))
    return [
        float(uniform(0, 1) < 0.5), (2.0 if whole_turns else 1.0) * int(uniform(0, 4 - 2 * whole_turns)),
        round(uniform(-2, 2)), round(uniform(-2, 2)), 2 ** uniform(-0.4, 0.4), uniform(-3, 3), 2 ** uniform(-0.4, 0.4),
        uniform(-3, 3), uniform(-2, 2), uniform(-2, 2), uniform(-0.3, 0.3), 2 ** uniform(-1, 1),
        float(uniform(0, 1) < 0.5), uniform(-3, 3), 2 ** uniform(-1, 1), *map(float, hole),
    ]  # fmt: skip


def matrix(rows, like):
    return torch.tensor(rows, dtype=torch.float64).to(like)


def turn(angle):
    """Clockwise where y points down."""
    return [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]


def move(image, numbers):
    """`image` `[channels, height, width]`."""
    _, height, width = image.shape
    mirrored, quarters, x1, y1, scale, first, stretch, second, x2, y2 = numbers[:10]
    shift = lambda x, y: [[1, 0, x], [0, 1, y], [0, 0, 1]]
    steps = [
        [[1 - 2 * mirrored, 0, 0], [0, 1, 0], [0, 0, 1]], turn(quarters * math.pi / 2), shift(x1, y1),
        [[scale, 0, 0], [0, scale, 0], [0, 0, 1]], turn(first), [[stretch, 0, 0], [0, 1 / stretch, 0], [0, 0, 1]], turn(second), shift(x2, y2),
    ]  # fmt: skip
    forward = torch.eye(3, dtype=torch.float64)
    for step in steps:
        forward = torch.tensor(step, dtype=torch.float64) @ forward
    back = torch.linalg.inv(forward)
    rows, columns = torch.meshgrid(torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij")
    points = torch.stack([columns - (width - 1) / 2, rows - (height - 1) / 2, torch.ones_like(rows)], -1) @ back.T
    grid = points[..., :2] * 2 / torch.tensor([width, height], dtype=torch.float64)
    return F.grid_sample(image[None], grid[None].to(image), mode="bilinear", padding_mode="reflection", align_corners=False)[0]


def ada_colours(image, numbers):
    brightness, contrast, inverted, hue, saturation = numbers[10:15]
    axis = torch.ones(3, 1, dtype=torch.float64) / math.sqrt(3)
    grey, one = axis @ axis.T, torch.eye(3, dtype=torch.float64)
    x, y, z = axis.flatten()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    linear = contrast * one
    if inverted:
        linear = (one - 2 * grey) @ linear
    linear = (grey + math.cos(hue) * (one - grey) + math.sin(hue) * cross) @ linear
    linear = (grey + saturation * (one - grey)) @ linear
    offset = linear @ torch.full((3,), brightness, dtype=torch.float64)
    if len(image) == 1:
        return image * linear.mean(0).sum().to(image) + offset.mean().to(image)
    return torch.einsum("ij,jhw->ihw", linear.to(image), image) + offset.to(image)[:, None, None]


def cut(image, numbers):
    top, bottom, left, right = (int(number) for number in numbers[15:])
    mask = torch.ones_like(image)
    mask[:, top:bottom, left:right] = 0
    return image * mask


def ada(image, numbers):
    return cut(ada_colours(move(image, numbers), numbers), numbers)


def roll(image, numbers):
    return cut(ada_colours(torch.roll(image, int(numbers[2]), 2), numbers), numbers)


def diff(image, numbers):
    """The published program: brightness, saturation about the channels' mean, contrast about the image's mean, shift with zeros, hole."""
    x, y, brightness, contrast, saturation = numbers[2], numbers[3], numbers[10], numbers[11], numbers[14]
    image = image + brightness
    mean = image.mean(0, keepdim=True)
    image = (image - mean) * saturation + mean
    mean = image.mean()
    image = (image - mean) * contrast + mean
    _, height, width = image.shape
    padded = F.pad(image, (2, 2, 2, 2))
    image = padded[:, 2 - int(y) : 2 - int(y) + height, 2 - int(x) : 2 - int(x) + width]
    return cut(image, numbers)


fixture = Fixture("augment", SEED, "ADA's and DiffAugment's operations with their transposes")
cases = {"ada_rgb": (ada, 3, 8, 12), "ada_gray": (ada, 1, 12, 8), "diff": (diff, 3, 8, 8), "roll": (roll, 3, 8, 12)}
for case, (augment, channels, height, width) in cases.items():
    draws = torch.tensor([draw(width, height, height != width) for _ in range(BATCH)])
    images, cotangent = (torch.randn(BATCH, channels, height, width, generator=draws_of) for _ in range(2))
    for name, value in (("draws", draws), ("images", images), ("cotangent", cotangent)):
        fixture.put(f"input.{case}.{name}", value)
    for precision, dtype in PRECISIONS.items():
        leaf = images.to(dtype).requires_grad_()
        numbers = draws.to(torch.float64).tolist()
        augmented = torch.stack([augment(image, row) for image, row in zip(leaf, numbers)])
        (gradient,) = torch.autograd.grad(augmented, leaf, cotangent.to(dtype))
        fixture.put(f"{precision}.{case}.augmented", augmented)
        fixture.put(f"{precision}.{case}.gradient", gradient)
fixture.save()
