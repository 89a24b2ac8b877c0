"""Autoencoders of codes: losses and gradients, the codebook's running means, finite scalars, and the transformer over codes.

Three fixtures:

- `vq_vae`: 12x8x3, widths 6 and 8, one residual block, 7 codes of 4 numbers, Gaussian of fixed standard deviation 0.4, commitment 0.25.
  `input.images` `[batch, ...]`; results: `codes` `[batch * places]`, `loss`, `commitment`, `decoded`, `gradient.<parameter>`, and after one
  update of the running means with decay 0.9 `after.{embeddings,counts,sums}`
- `fsq`: `input.vectors` `[vectors, 3]` for levels 8, 5 and 6; results: `codes`, `replaced`, `gradient` of `sum(replaced * input.weights)`
- `code_transformer`: 6 places, 5 codes, width 12, 3 heads, 2 layers, weights as in our file; the reference is PyTorch's own
  `TransformerEncoder` with a causal mask; `input.codes`, `logits`, `loss` (mean nats per code), `gradient.<parameter>`
"""

import math

import torch
import torch.nn.functional as F
from fixture import PRECISIONS, Fixture, begin
from torch import nn


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = conv(width, width // 4, 3)
        self.project = conv(width // 4, width, 1)

    def forward(self, x):
        return x + self.project(F.relu(self.mix(F.relu(x))))


class Encoder(nn.Module):
    def __init__(self, channels, widths, entries):
        super().__init__()
        self.stages = nn.ModuleList(conv(a, b, 4, 2) for a, b in zip([channels, *widths], widths))
        self.input = conv(widths[-1], widths[-1], 3)
        self.blocks = nn.ModuleList([Block(widths[-1])])
        self.output = conv(widths[-1], entries, 1)

    def forward(self, x):
        for stage in self.stages:
            x = F.relu(stage(x))
        x = self.input(x)
        for block in self.blocks:
            x = block(x)
        return self.output(F.relu(x))


class Decoder(nn.Module):
    def __init__(self, outputs, widths, entries):
        super().__init__()
        self.input = conv(entries, widths[-1], 3)
        self.blocks = nn.ModuleList([Block(widths[-1])])
        ways = zip(widths[::-1], [*widths[::-1][1:], outputs])
        self.stages = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in ways)

    def forward(self, x):
        x = self.input(x)
        for block in self.blocks:
            x = block(x)
        x = F.relu(x)
        for stage in self.stages[:-1]:
            x = F.relu(stage(x))
        return self.stages[-1](x)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(3, [6, 8], 4)
        self.decoder = Decoder(3, [6, 8], 4)


def vq_vae():
    generator = begin(71)
    codes, entries, decay, commitment, sigma = 7, 4, 0.9, 0.25, 0.4
    start = {name: 0.4 * torch.randn(value.shape, generator=generator) for name, value in Autoencoder().state_dict().items()}
    images = 2 * torch.rand(3, 3, 8, 12, generator=generator) - 1
    # Codes among what the encoder makes, so that several are used.
    network = Autoencoder()
    network.load_state_dict(start)
    made = network.encoder(images).permute(0, 2, 3, 1).reshape(-1, entries).detach()
    embeddings = made[:: len(made) // codes][:codes] + 0.05 * torch.randn(codes, entries, generator=generator)
    counts = 1 + 4 * torch.rand(codes, generator=generator)
    fixture = Fixture("vq_vae", 71, "one step of a VQ-VAE, its codebook as running means", commitment=commitment, sigma=sigma, decay=decay)
    fixture.put_all("weight", start)
    fixture.put("weight.quantiser.embeddings", embeddings)
    fixture.put("weight.quantiser.counts", counts)
    fixture.put("weight.quantiser.sums", embeddings * counts[:, None])
    # The prior has no part in this step.
    shapes = {"marginals": (6, codes), "images": (1,), "transformer.tokens": (codes + 1, 2), "transformer.places": (6, 2)}
    shapes |= {f"transformer.layers.0.{norm}_norm.{kind}": (2,) for norm in ("attention", "dense") for kind in ("weight", "bias")}
    shapes |= {f"transformer.norm.{kind}": (2,) for kind in ("weight", "bias")}
    dense = {"layers.0.input": (6, 2), "layers.0.output": (2, 2), "layers.0.expand": (8, 2), "layers.0.contract": (2, 8), "output": (codes, 2)}
    for layer, shape in dense.items():
        shapes |= {f"transformer.{layer}.weight": shape, f"transformer.{layer}.bias": shape[:1]}
    fixture.put_all("weight.prior", {name: torch.zeros(shape) for name, shape in shapes.items()})
    fixture.put("input.images", images)
    for precision, dtype in PRECISIONS.items():
        network = Autoencoder().to(dtype)
        network.load_state_dict({name: value.to(dtype) for name, value in start.items()})
        x, book = images.to(dtype), embeddings.to(dtype)
        features = network.encoder(x)
        vectors = features.permute(0, 2, 3, 1).reshape(-1, entries)
        chosen = torch.cdist(vectors, book).argmin(1)
        nearest = book[chosen]
        replaced = vectors + (nearest - vectors).detach()
        batch, _, height, width = features.shape
        decoded = network.decoder(replaced.reshape(batch, height, width, entries).permute(0, 3, 1, 2))
        likelihood = torch.distributions.Normal(decoded, sigma).log_prob(x).sum((1, 2, 3))
        distance = F.mse_loss(vectors, nearest.detach())
        loss = -likelihood.mean() / x[0].numel() + commitment * distance
        loss.backward()
        one_hot = F.one_hot(chosen, codes).to(dtype)
        n = decay * counts.to(dtype) + (1 - decay) * one_hot.sum(0)
        m = decay * (embeddings * counts[:, None]).to(dtype) + (1 - decay) * one_hot.T @ vectors.detach()
        smooth = (n + 1e-5) / (n.sum() + codes * 1e-5) * n.sum()
        if precision == "f64":
            fixture.put("codes", chosen.to(torch.float32))
        fixture.put_all(precision, {"loss": loss, "commitment": distance, "decoded": decoded})
        fixture.put_all(f"{precision}.gradient", {name: value.grad for name, value in network.named_parameters()})
        fixture.put_all(f"{precision}.after", {"embeddings": m / smooth[:, None], "counts": n, "sums": m})
    fixture.save()


def fsq():
    generator = begin(72)
    levels = [8, 5, 6]
    vectors = 2 * torch.randn(64, 3, generator=generator)
    weights = torch.randn(64, 3, generator=generator)
    fixture = Fixture("fsq", 72, "finite scalar quantisation and its straight-through gradient", levels=levels)
    fixture.put("input.vectors", vectors)
    fixture.put("input.weights", weights)
    for precision, dtype in PRECISIONS.items():
        z = vectors.to(dtype).requires_grad_()
        count = torch.tensor(levels, dtype=dtype)
        half = (count - 1) * (1 + 1e-3) / 2
        offset = torch.where(count % 2 == 0, 0.5, 0.0).to(dtype)
        bounded = torch.tanh(z + torch.atanh(offset / half)) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        replaced = rounded / (count // 2)
        (replaced * weights.to(dtype)).sum().backward()
        basis = torch.tensor([1, 8, 40], dtype=dtype)
        if precision == "f64":
            fixture.put("codes", ((bounded.round() + count // 2) * basis).sum(1).to(torch.float32))
        fixture.put_all(precision, {"replaced": replaced, "gradient": z.grad})
    fixture.save()


def code_transformer():
    generator = begin(73)
    places, codes, width, heads, layers = 6, 5, 12, 3, 2
    shapes = {"tokens": (codes + 1, width), "places": (places, width), "norm.weight": (width,), "norm.bias": (width,)}
    shapes |= {"output.weight": (codes, width), "output.bias": (codes,)}
    # Our name, PyTorch's name, outputs, inputs.
    parts = [
        ("attention_norm", "norm1", width, None),
        ("input", "self_attn.in_proj_", 3 * width, width),
        ("output", "self_attn.out_proj", width, width),
        ("dense_norm", "norm2", width, None),
        ("expand", "linear1", 4 * width, width),
        ("contract", "linear2", width, 4 * width),
    ]
    for layer in range(layers):
        for ours, _, outputs, inputs in parts:
            shapes[f"layers.{layer}.{ours}.weight"] = (outputs,) if inputs is None else (outputs, inputs)
            shapes[f"layers.{layer}.{ours}.bias"] = (outputs,)
    start = {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    chosen = torch.randint(codes, (4, places), generator=generator)
    fixture = Fixture("code_transformer", 73, "a causal transformer over maps of codes")
    fixture.put_all("weight", start)
    fixture.put("input.codes", chosen.to(torch.float32))
    for precision, dtype in PRECISIONS.items():
        weights = {name: value.to(dtype).requires_grad_() for name, value in start.items()}
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False).to(dtype)
        named = {"norm.weight": weights["norm.weight"], "norm.bias": weights["norm.bias"]}
        for index in range(layers):
            for ours, theirs, _, _ in parts:
                for kind in ("weight", "bias"):
                    dot = "" if theirs.endswith("_") else "."
                    named[f"layers.{index}.{theirs}{dot}{kind}"] = weights[f"layers.{index}.{ours}.{kind}"]
        before = torch.cat([torch.full((4, 1), codes), chosen[:, :-1]], 1)
        features = weights["tokens"][before] + weights["places"]
        mask = nn.Transformer.generate_square_subsequent_mask(places, dtype=dtype)
        features = torch.func.functional_call(encoder, named, (features,), {"mask": mask, "is_causal": True})
        logits = F.linear(features, weights["output.weight"], weights["output.bias"])
        loss = F.cross_entropy(logits.reshape(-1, codes), chosen.reshape(-1))
        loss.backward()
        fixture.put_all(precision, {"logits": logits, "loss": loss})
        fixture.put_all(f"{precision}.gradient", {name: value.grad for name, value in weights.items()})
    fixture.save()


vq_vae()
fsq()
code_transformer()
