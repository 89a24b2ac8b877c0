"""What VAEs minimise beside or instead of the ELBO, in f64 and f32, with the gradient of every weight.

One fixture, `vae_losses`: MLP 64-16-4 with a Bernoulli likelihood, batch 6.

- `weight.<parameter>`, `input.images` `[6, 64]`, `input.noise` `[6, 12]`: three latents for each image, of which a case takes the
  first one unless it says otherwise; `mmd` takes the second one for draws from the prior
- `f64.` and `f32.`: `<case>.loss` and `<case>.gradient.<parameter>`

| case | loss |
|---|---|
| `free_bits` | negative ELBO, each entry's divergence, averaged over the batch, at least 1.2 nats |
| `importance_plain`, `importance_dreg` | negative importance-weighted bound with three draws; DReG by a hook on the latents |
| `tc_weighted`, `tc_stratified` | negative ELBO plus 5 times the total correlation, from a set of 50 images |
| `dip_means`, `dip_latents` | negative ELBO plus 10 and 3 times the squared covariances off and on the diagonal (less 1) |
| `mmd` | negative reconstruction plus 40 times the maximum mean discrepancy |
"""

import math

import torch
from fixture import PRECISIONS, Fixture, begin, gradients_of, load, redraw, weights_of
from torch.distributions import Normal
from vae import bernoulli, divergence, vae_mlp

BATCH, LATENT, DRAWS, SET = 6, 4, 3, 50


def elbo(network, images, noise):
    result = network(images, noise[:, :LATENT])
    each = divergence(result["mean"], result["log_variance"])
    return result, bernoulli(result["decoded"], images).mean(), each


def posterior_of(result):
    return Normal(result["mean"], torch.exp(0.5 * result["log_variance"]))


def free_bits(network, images, noise):
    _, reconstruction, each = elbo(network, images, noise)
    return reconstruction + torch.maximum(each.mean(0), torch.tensor(1.2, dtype=each.dtype)).sum()


def log_weights(network, images, mean, log_variance, latents):
    """`[draws, batch]`, from `latents` `[draws, batch, latent]`."""
    posterior = Normal(mean, torch.exp(0.5 * log_variance))
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    likelihood = -torch.stack([bernoulli(network.decoder(draw), images) for draw in latents])
    return likelihood + prior.log_prob(latents).sum(-1) - posterior.log_prob(latents).sum(-1)


def importance_plain(network, images, noise):
    mean, log_variance = network.encoder(images)
    latents = mean + torch.exp(0.5 * log_variance) * noise.unflatten(1, (DRAWS, LATENT)).transpose(0, 1)
    weights = log_weights(network, images, mean, log_variance, latents)
    return -(weights.logsumexp(0) - math.log(DRAWS)).mean()


class Surrogate:
    """A loss whose value is not what its gradient belongs to."""

    def __init__(self, value, gradient_of):
        self.value, self.gradient_of = value, gradient_of


def importance_dreg(network, images, noise):
    mean, log_variance = network.encoder(images)
    latents = mean + torch.exp(0.5 * log_variance) * noise.unflatten(1, (DRAWS, LATENT)).transpose(0, 1)
    weights = log_weights(network, images, mean.detach(), log_variance.detach(), latents)
    shares = weights.detach().softmax(0)
    latents.register_hook(lambda slopes: shares.unsqueeze(-1) * slopes)
    return Surrogate(-(weights.logsumexp(0) - math.log(DRAWS)).mean(), -(shares * weights).sum(0).mean())


def total_correlation(is_stratified):
    def loss(network, images, noise):
        result, reconstruction, each = elbo(network, images, noise)
        z = result["latents"]
        pairs = [posterior_of({key: result[key][j] for key in ("mean", "log_variance")}).log_prob(z) for j in range(BATCH)]
        weights = torch.full((BATCH, BATCH), 1.0 / (SET * BATCH), dtype=z.dtype)
        if is_stratified:
            others = BATCH - 1
            weights.fill_(1.0 / others)
            for i in range(BATCH):
                weights[i, i] = 1.0 / SET
                weights[i, (i + 1) % BATCH] = (SET - others) / (SET * others)
        density = torch.stack(pairs, 1)  # latent's image, posterior's image, entry
        joint = (weights * density.sum(-1).exp()).sum(1).log()
        product = (weights[:, :, None] * density.exp()).sum(1).log().sum(-1)
        return reconstruction + each.sum(1).mean() + 5.0 * (joint - product).mean()

    return loss


def dip(of_latents):
    def loss(network, images, noise):
        result, reconstruction, each = elbo(network, images, noise)
        covariance = torch.cov(result["mean"].T, correction=0)
        if of_latents:
            covariance = covariance + torch.diag(result["log_variance"].exp().mean(0))
        diagonal = covariance.diagonal()
        off = (covariance - torch.diag(diagonal)).pow(2).sum()
        return reconstruction + each.sum(1).mean() + 10.0 * off + 3.0 * (diagonal - 1).pow(2).sum()

    return loss


def mmd(network, images, noise):
    result, reconstruction, _ = elbo(network, images, noise)
    z, prior = result["latents"], noise[:, LATENT : 2 * LATENT]

    def kernel(a, b):
        c = 2 * LATENT
        return sum(c * s / (c * s + (a - b).pow(2).sum()) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

    pairs = BATCH * (BATCH - 1)
    within = sum(kernel(z[i], z[j]) + kernel(prior[i], prior[j]) for i in range(BATCH) for j in range(BATCH) if i != j) / pairs
    between = sum(kernel(z[i], prior[j]) for i in range(BATCH) for j in range(BATCH)) / BATCH**2
    return reconstruction + 40.0 * (within - 2.0 * between)


CASES = {
    "free_bits": free_bits,
    "importance_plain": importance_plain,
    "importance_dreg": importance_dreg,
    "tc_weighted": total_correlation(False),
    "tc_stratified": total_correlation(True),
    "dip_means": dip(False),
    "dip_latents": dip(True),
    "mmd": mmd,
}

generator = begin(71)
network = vae_mlp(64, 16, LATENT)
redraw(network, generator)
start = {key: value.clone() for key, value in weights_of(network).items()}
images = torch.rand(BATCH, 64, generator=generator)
noise = torch.randn(BATCH, DRAWS * LATENT, generator=generator)
fixture = Fixture("vae_losses", 71, "losses of VAEs beside the ELBO", draws=DRAWS, set=SET)
fixture.put_all("weight", start)
fixture.put("input.images", images)
fixture.put("input.noise", noise)
for precision, dtype in PRECISIONS.items():
    for name, case in CASES.items():
        network = vae_mlp(64, 16, LATENT).to(dtype)
        load(network, start)
        loss = case(network, images.to(dtype), noise.to(dtype))
        (loss.gradient_of if isinstance(loss, Surrogate) else loss).backward()
        fixture.put(f"{precision}.{name}.loss", loss.value if isinstance(loss, Surrogate) else loss)
        fixture.put_all(f"{precision}.{name}.gradient", gradients_of(network))
fixture.save()
