"""Single operations with their gradients, in f64 and f32.

One fixture a family: `ops_conv2d`, `ops_conv_transpose2d`, `ops_linear`, `ops_norm`, `ops_resample`, `ops_pool`, `ops_activation`,
`ops_loss`, `ops_likelihood`. Each holds many cases. The metadata key `cases` is a JSON object: case name -> settings of the operation (`operation`,
`stride`, ...), so that one loop can run them all.

Tensors of a case (see `fixture.py` for the naming of precisions):

- `<case>.input.<argument>`: what goes in (`input`, `weight`, `bias`, ...)
- `<case>.input.cotangent`: shaped like the output; the gradients are those of `sum(cotangent * output)`
- `<case>.<precision>.output`
- `<case>.<precision>.gradient.<argument>`: for every argument that can be trained or passed through
- batch norm in training also: `<case>.<precision>.running_mean`, `running_var` after one pass

Pairs are `[vertical, horizontal]`. Meaning of settings:

- `boundary`: `"zero"`, or `"circular"`: the image is continued periodically by the padding before a convolution without padding
- `resample.*`: the filter [1, 3, 3, 1] / 8 along both axes, each channel by itself, stride 2, padding 1; upsampling is the transposed
  operation with gain 4, so that both keep the mean of an image
- `pool.average_*`: `count_include_pad` false means that a window at the edge divides by the pixels that it really covers
"""

import torch
from fixture import PRECISIONS, Fixture, begin
from torch.nn import functional as F

NO_GRADIENT = ("running_mean", "running_var", "target", "cotangent")


class Family:
    """The cases of one fixture file."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.draws = begin(seed)
        self.cases = {}
        self.tensors = []

    def randn(self, *shape, scale=1.0):
        return scale * torch.randn(shape, generator=self.draws)

    def case(self, name, operation, inputs, settings, kind):
        """Runs `operation(**inputs)` in both precisions; it may write to running statistics among its inputs."""
        self.cases[name] = {"operation": kind, **settings}
        cotangent = None
        for precision, dtype in PRECISIONS.items():
            given = {key: value.to(dtype).clone() for key, value in inputs.items()}
            for key, value in given.items():
                value.requires_grad_(key not in NO_GRADIENT)
            output = operation(**given)
            if cotangent is None:
                cotangent = self.randn(*output.shape)
                self.tensors += [(f"{name}.input.{key}", value) for key, value in inputs.items()]
                self.tensors.append((f"{name}.input.cotangent", cotangent))
            (output * cotangent.to(dtype)).sum().backward()
            self.tensors.append((f"{name}.{precision}.output", output))
            for key, value in given.items():
                if value.requires_grad:
                    self.tensors.append((f"{name}.{precision}.gradient.{key}", value.grad))
                elif key.startswith("running_") and settings.get("training"):
                    self.tensors.append((f"{name}.{precision}.{key}", value))

    def save(self):
        fixture = Fixture(f"ops_{self.name}", self.seed, f"single operations: {self.name}", cases=self.cases)
        for name, value in self.tensors:
            fixture.put(name, value)
        fixture.save()


def conv2d(seed):
    family = Family("conv2d", seed)

    def add(name, inputs, outputs, size, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=True, boundary="zero"):
        settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, boundary=boundary)

        def operation(input, weight, bias=None):
            if boundary == "zero":
                return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
            continued = F.pad(input, (padding[1], padding[1], padding[0], padding[0]), mode="circular")
            return F.conv2d(continued, weight, bias, stride, 0, dilation, groups)

        scale = (inputs // groups * kernel[0] * kernel[1]) ** -0.5
        tensors = {"input": family.randn(2, inputs, *size), "weight": family.randn(outputs, inputs // groups, *kernel, scale=scale)}
        if bias:
            tensors["bias"] = family.randn(outputs)
        family.case(name, operation, tensors, settings, "conv2d")

    add("k1_s1", 5, 7, (5, 4), (1, 1))
    add("k1_s2", 5, 7, (6, 5), (1, 1), stride=(2, 2))
    add("k3_s1_p1", 4, 6, (8, 8), (3, 3), padding=(1, 1))
    add("k3_s1_p1_tails", 5, 17, (7, 9), (3, 3), padding=(1, 1))
    add("k3_s1_p0", 3, 4, (6, 7), (3, 3))
    add("k3_s2_p1", 3, 8, (8, 8), (3, 3), stride=(2, 2), padding=(1, 1), bias=False)
    add("k3_s2_p1_odd", 3, 5, (9, 7), (3, 3), stride=(2, 2), padding=(1, 1))
    add("k3_s2_p0", 3, 5, (9, 9), (3, 3), stride=(2, 2))
    add("k4_s2_p1", 4, 8, (8, 8), (4, 4), stride=(2, 2), padding=(1, 1), bias=False)
    add("k4_s2_p1_tails", 3, 5, (6, 10), (4, 4), stride=(2, 2), padding=(1, 1))
    add("k4_s1_p0", 6, 1, (4, 4), (4, 4), bias=False)
    add("k5_s1_p2", 3, 4, (6, 6), (5, 5), padding=(2, 2))
    add("k7_s2_p3", 3, 4, (9, 8), (7, 7), stride=(2, 2), padding=(3, 3))
    add("k1x7_p0x3", 4, 5, (5, 8), (1, 7), padding=(0, 3), bias=False)
    add("k7x1_p3x0", 4, 5, (8, 5), (7, 1), padding=(3, 0), bias=False)
    add("k3x2_s2x1_p1x0", 3, 4, (7, 6), (3, 2), stride=(2, 1), padding=(1, 0))
    add("k3_s3_p1", 3, 4, (8, 10), (3, 3), stride=(3, 3), padding=(1, 1))
    add("k3_dilation2", 3, 4, (8, 9), (3, 3), padding=(2, 2), dilation=(2, 2))
    add("k3_dilation2x3_s2", 3, 4, (9, 11), (3, 3), stride=(2, 2), padding=(1, 2), dilation=(2, 3))
    add("k3_groups2", 8, 6, (6, 6), (3, 3), padding=(1, 1), groups=2)
    add("k3_groups_of_16", 32, 32, (4, 5), (3, 3), padding=(1, 1), groups=2)
    add("k3_depthwise", 6, 6, (7, 6), (3, 3), padding=(1, 1), groups=6)
    add("k4_depthwise_whole", 6, 6, (4, 4), (4, 4), groups=6, bias=False)
    add("k3_s2_depthwise_times_2", 3, 6, (8, 7), (3, 3), stride=(2, 2), padding=(1, 1), groups=3)
    add("k3_circular", 3, 4, (6, 7), (3, 3), padding=(1, 1), boundary="circular")
    add("k4_s2_circular", 3, 4, (8, 6), (4, 4), stride=(2, 2), padding=(1, 1), boundary="circular", bias=False)
    add("k3_s2_circular", 3, 4, (8, 8), (3, 3), stride=(2, 2), padding=(1, 1), boundary="circular")
    family.save()


def conv_transpose2d(seed):
    family = Family("conv_transpose2d", seed)

    def add(name, inputs, outputs, size, kernel, stride, padding, output_padding=(0, 0), dilation=(1, 1), groups=1, bias=True):
        settings = dict(stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups)

        def operation(input, weight, bias=None):
            return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)

        tensors = {
            "input": family.randn(2, inputs, *size),
            "weight": family.randn(inputs, outputs // groups, *kernel, scale=(inputs // groups * kernel[0] * kernel[1]) ** -0.5),
        }
        if bias:
            tensors["bias"] = family.randn(outputs)
        family.case(name, operation, tensors, settings, "conv_transpose2d")

    add("k4_s1_p0_from_one_pixel", 8, 6, (1, 1), (4, 4), (1, 1), (0, 0), bias=False)
    add("k4_s2_p1", 8, 4, (4, 4), (4, 4), (2, 2), (1, 1), bias=False)
    add("k4_s2_p1_tails", 5, 3, (3, 5), (4, 4), (2, 2), (1, 1))
    add("k3_s2_p1_op1", 8, 4, (4, 4), (3, 3), (2, 2), (1, 1), (1, 1))
    add("k3_s2_p1_op0", 5, 3, (4, 3), (3, 3), (2, 2), (1, 1))
    add("k3_s2_p1_op0x1", 5, 3, (4, 4), (3, 3), (2, 2), (1, 1), (0, 1))
    add("k3_s1_p1", 4, 5, (5, 6), (3, 3), (1, 1), (1, 1))
    add("k2_s2_p0", 4, 3, (4, 3), (2, 2), (2, 2), (0, 0))
    add("k1x7_p0x3", 4, 5, (5, 6), (1, 7), (1, 1), (0, 3), bias=False)
    add("k3_dilation2", 3, 4, (5, 6), (3, 3), (1, 1), (2, 2), dilation=(2, 2))
    add("k3_s3_p1", 3, 4, (3, 4), (3, 3), (3, 3), (1, 1), (2, 0))
    add("k4_s2_groups2", 8, 6, (4, 4), (4, 4), (2, 2), (1, 1), groups=2)
    add("k4_s2_depthwise", 5, 5, (4, 3), (4, 4), (2, 2), (1, 1), groups=5, bias=False)
    family.save()


def linear(seed):
    family = Family("linear", seed)
    for name, batch, inputs, outputs, bias in (
        ("small", 3, 5, 7, True),
        ("one_row", 1, 20, 33, True),
        ("without_bias", 4, 16, 16, False),
        ("tails", 9, 37, 19, True),
    ):
        tensors = {"input": family.randn(batch, inputs), "weight": family.randn(outputs, inputs, scale=inputs**-0.5)}
        if bias:
            tensors["bias"] = family.randn(outputs)
        family.case(name, F.linear, tensors, {}, "linear")
    family.save()


def norm(seed):
    family = Family("norm", seed)

    def batch_norm(name, shape, training, offset=0.0, epsilon=1e-5):
        channels = shape[1]
        tensors = {
            "input": offset + family.randn(*shape, scale=1.5),
            "weight": 1 + family.randn(channels, scale=0.3),
            "bias": family.randn(channels),
            "running_mean": family.randn(channels),
            "running_var": 0.5 + torch.rand(channels, generator=family.draws),
        }

        def operation(input, weight, bias, running_mean, running_var):
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum=0.1, eps=epsilon)

        family.case(name, operation, tensors, dict(training=training, momentum=0.1, epsilon=epsilon), "batch_norm")

    def group_norm(name, shape, groups, epsilon=1e-5):
        tensors = {
            "input": 0.5 + family.randn(*shape, scale=1.5),
            "weight": 1 + family.randn(shape[1], scale=0.3),
            "bias": family.randn(shape[1]),
        }

        def operation(input, weight, bias):
            return F.group_norm(input, groups, weight, bias, epsilon)

        family.case(name, operation, tensors, dict(groups=groups, epsilon=epsilon), "group_norm")

    batch_norm("batch_training", (4, 5, 3, 4), True)
    batch_norm("batch_training_tails", (3, 17, 5, 3), True)
    # The mean is two hundred times the spread: plain sums of squares in f32 fail here.
    batch_norm("batch_training_far_from_zero", (4, 3, 4, 4), True, offset=300.0)
    batch_norm("batch_inference", (4, 5, 3, 4), False)
    batch_norm("batch_inference_epsilon_1e_3", (2, 4, 3, 3), False, epsilon=1e-3)
    group_norm("group_2_of_6", (3, 6, 4, 5), 2)
    group_norm("group_all_channels", (2, 5, 3, 3), 1)
    group_norm("group_each_channel", (2, 4, 3, 5), 4, epsilon=1e-6)
    family.save()


def filter_1331(channels, dtype):
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype) / 8
    return (line[:, None] * line[None, :]).expand(channels, 1, 4, 4)


def downsample(input, boundary):
    channels = input.shape[1]
    kernel = filter_1331(channels, input.dtype)
    if boundary == "zero":
        return F.conv2d(input, kernel, stride=2, padding=1, groups=channels)
    return F.conv2d(F.pad(input, (1, 1, 1, 1), mode="circular"), kernel, stride=2, groups=channels)


def upsample(input, boundary):
    channels = input.shape[1]
    kernel = 4 * filter_1331(channels, input.dtype)
    if boundary == "zero":
        return F.conv_transpose2d(input, kernel, stride=2, padding=1, groups=channels)
    # One more pixel on each side becomes two in the output, which are cut off with the usual one.
    continued = F.pad(input, (1, 1, 1, 1), mode="circular")
    return F.conv_transpose2d(continued, kernel, stride=2, padding=3, groups=channels)


def resample(seed):
    family = Family("resample", seed)
    for name, operation, kind in (("down", downsample, "downsample_1331"), ("up", upsample, "upsample_1331")):
        for boundary in ("zero", "circular"):
            size = (8, 6) if name == "down" else (4, 5)
            tensors = {"input": family.randn(2, 5, *size)}
            family.case(f"{name}_{boundary}", lambda input: operation(input, boundary), tensors, dict(boundary=boundary), kind)
    nearest = {"input": family.randn(2, 3, 4, 3)}
    family.case("nearest_up", lambda input: F.interpolate(input, scale_factor=2, mode="nearest"), nearest, {"scale": 2}, "nearest")
    family.save()


def pool(seed):
    family = Family("pool", seed)

    def average(name, size, kernel, stride, padding, count_include_pad):
        settings = dict(kernel=kernel, stride=stride, padding=padding, count_include_pad=count_include_pad)
        tensors = {"input": family.randn(2, 3, *size)}
        family.case(name, lambda input: F.avg_pool2d(input, **_torch(settings)), tensors, settings, "average_pool")

    def maximum(name, size, kernel, stride, padding):
        settings = dict(kernel=kernel, stride=stride, padding=padding)
        tensors = {"input": family.randn(2, 3, *size)}
        family.case(name, lambda input: F.max_pool2d(input, **_torch(settings)), tensors, settings, "max_pool")

    def _torch(settings):
        return {"kernel_size" if key == "kernel" else key: value for key, value in settings.items()}

    average("average_k2_s2", (6, 8), 2, 2, 0, True)
    average("average_k3_s1_p1", (5, 6), 3, 1, 1, True)
    average("average_k3_s1_p1_covered_only", (5, 6), 3, 1, 1, False)
    maximum("max_k2_s2", (6, 8), 2, 2, 0)
    maximum("max_k3_s2", (7, 9), 3, 2, 0)
    maximum("max_k3_s1_p1", (5, 6), 3, 1, 1)
    family.case("average_all", lambda input: input.mean((2, 3)), {"input": family.randn(2, 5, 4, 3)}, {}, "global_average_pool")
    family.save()


def activation(seed):
    family = Family("activation", seed)
    for name, operation, settings in (
        ("relu", F.relu, {}),
        ("leaky_relu_0_2", lambda input: F.leaky_relu(input, 0.2), {"slope": 0.2}),
        ("silu", F.silu, {}),
        ("tanh", torch.tanh, {}),
        ("sigmoid", torch.sigmoid, {}),
        ("softplus", F.softplus, {}),
    ):
        # The spread reaches into the flat ends, where a naive exp overflows or cancels.
        inputs = family.randn(3, 4, 3, 5, scale=3.0)
        inputs.view(-1)[:8] = torch.tensor([0.0, -0.0, 20.0, -20.0, 60.0, -60.0, 100.0, -100.0])
        family.case(name, operation, {"input": inputs}, settings, name.split("_0")[0])
    family.save()


def loss(seed):
    family = Family("loss", seed)
    logits = family.randn(4, 6, scale=3.0)
    logits.view(-1)[:4] = torch.tensor([0.0, 50.0, -50.0, 110.0])
    target = torch.rand(4, 6, generator=family.draws)
    target.view(-1)[:6] = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])

    def cross_entropy(logits, target):
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def kl(mean, log_variance):
        return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)

    def negative_log_likelihood(mean, target):
        normal = torch.distributions.Normal(mean, torch.full_like(mean, 0.3))
        return -normal.log_prob(target)

    family.case("bernoulli_logits", cross_entropy, {"logits": logits, "target": target}, {}, "binary_cross_entropy_with_logits")
    posterior = {"mean": family.randn(4, 6), "log_variance": family.randn(4, 6)}
    family.case("gaussian_kl", kl, posterior, {}, "kl_to_standard_normal")
    pixels = {"mean": family.randn(4, 6), "target": family.randn(4, 6)}
    family.case("gaussian", negative_log_likelihood, pixels, {"sigma": 0.3}, "gaussian_negative_log_likelihood")
    family.save()


def likelihood(seed):
    """log p(x|z) of each image `[batch]` from what a decoder gives, `[batch, parameters, height, width]`."""
    family = Family("likelihood", seed)

    def continuous_bernoulli(parameters, target):
        return torch.distributions.ContinuousBernoulli(logits=parameters).log_prob(target).flatten(1).sum(1)

    logits = family.randn(3, 2, 3, 4, scale=3.0)
    logits.view(-1)[:4] = torch.tensor([0.02, -0.05, 0.3, -0.3])
    target = torch.rand(3, 2, 3, 4, generator=family.draws)
    family.case("continuous_bernoulli", continuous_bernoulli, {"parameters": logits, "target": target}, {}, "continuous_bernoulli")

    def most_likely_gaussian(parameters, target):
        squares = (target - parameters) ** 2
        log_sigma = 0.5 * squares.mean().log()
        log_sigma = F.softplus(log_sigma + 6.0) - 6.0
        normal = torch.distributions.Normal(parameters, log_sigma.detach().exp())
        return normal.log_prob(target).flatten(1).sum(1)

    pixels = {"parameters": family.randn(3, 3, 3, 4), "target": family.randn(3, 3, 3, 4)}
    family.case("optimal_gaussian", most_likely_gaussian, pixels, {}, "optimal_gaussian")

    def logistic_mixture(components, channels, levels):
        """The probability of a bin as the plain difference of two sigmoids, mirrored to the side where it does not cancel."""

        def operation(parameters, target):
            parts = list(parameters.split(components, dim=1))
            weights = parts.pop(0).softmax(1)
            means, scales = parts[:channels], [part.clamp(min=-7.0).exp() for part in parts[channels : 2 * channels]]
            coefficients = [part.tanh() for part in parts[2 * channels :]]
            mass = weights
            for later in range(channels):
                mean = means[later]
                for earlier in range(later):
                    mean = mean + coefficients[later * (later - 1) // 2 + earlier] * target[:, earlier : earlier + 1]
                half = 1.0 / (levels - 1)
                value = ((target[:, later : later + 1] + 1) / (2 * half)).round() * (2 * half) - 1
                side = torch.where(mean > value, 1.0, -1.0).to(mean)
                near, far = (torch.sigmoid(side * (value + side * end * half - mean) / scales[later]) for end in (1.0, -1.0))
                is_near_open = value * side > 1 - half
                is_far_open = value * side < half - 1
                near = torch.where(is_near_open, torch.ones_like(near), near)
                far = torch.where(is_far_open, torch.zeros_like(far), far)
                mass = mass * (near - far)
            return mass.sum(1).log().flatten(1).sum(1)

        numbers = components * (1 + 2 * channels + channels * (channels - 1) // 2)
        bins = torch.randint(0, levels, (3, channels, 3, 4), generator=family.draws)
        bins.view(-1)[:4] = torch.tensor([0, levels - 1, 0, levels - 1])
        inputs = {"parameters": family.randn(3, numbers, 3, 4), "target": 2.0 * bins / (levels - 1) - 1.0}
        settings = {"components": components, "levels": levels, "channels": channels}
        family.case(f"logistic_mixture_{channels}_{levels}", operation, inputs, settings, "logistic_mixture")

    logistic_mixture(3, 1, 17)
    logistic_mixture(4, 3, 256)
    logistic_mixture(2, 4, 32)
    family.save()


families = (conv2d, conv_transpose2d, linear, norm, resample, pool, activation, loss, likelihood)
for seed, write in enumerate(families, start=51):
    write(seed)
