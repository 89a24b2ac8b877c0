"""What a PyTorch DCGAN reaches on 8x8 digits, judged by `judge.py`, and how long it takes.

python baseline_dcgan.py [--width 64] [--smallest 4] [--seeds 3] [--steps 500 1000 2000 4000 8000] [--threads 1]

The example's structure and rules (`dcgan.py`): latent 100, ngf = ndf = width, weights N(0, 0.02), non-saturating loss, Adam 2e-4 (0.5, 0.999), batch
64 drawn with replacement from rows 0..1499, pixels in [-1, 1]. At each milestone 1,000 images are generated twice: with the statistics of
their own batch (as PyTorch's example shows its samples) and in inference mode with the running statistics.

`--smallest` is the side of the generator's first and the discriminator's last convolution. The example has 4, which leaves a single
doubling at 8 pixels and no batch norm in the discriminator; 2 gives both networks one more layer.
"""

import argparse
import json
import time

import judge
import torch
from dcgan import Discriminator, Generator, discriminator_loss, initialise_as_published, non_saturating, published_widths
from fixture import FIXTURES

SIDE, CHANNELS, LATENT, BATCH, IMAGES = 8, 1, 100, 64, 1000

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--smallest", type=int, default=4)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--steps", type=int, nargs="+", default=[500, 1000, 2000, 4000, 8000])
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
model = judge.fit()
train = torch.tensor(judge.digits()[0][: judge.TRAIN_ROWS], dtype=torch.float32).view(-1, CHANNELS, SIDE, SIDE) * 2 - 1
widths = published_widths(SIDE, arguments.width, arguments.smallest)


@torch.no_grad()
def score(generator, latents):
    answers = {}
    for mode, training in (("batch_statistics", True), ("inference", False)):
        kept = {name: value.clone() for name, value in generator.state_dict().items()}
        generator.train(training)
        images = (generator(latents).flatten(1).double().numpy() + 1) / 2
        generator.load_state_dict(kept)
        answers[mode] = judge.describe(model, images)
    generator.train()
    return answers


runs = []
for seed in range(arguments.seeds):
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    generator = Generator(LATENT, widths[::-1], CHANNELS, arguments.smallest)
    discriminator = Discriminator(CHANNELS, widths, arguments.smallest)
    for network in (generator, discriminator):
        initialise_as_published(network)
    adam_g, adam_d = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (generator, discriminator))
    seconds = 0.0
    for step in range(1, max(arguments.steps) + 1):
        started = time.perf_counter()
        real = train[torch.randint(0, len(train), (BATCH,), generator=draws)]
        fake = generator(torch.randn(BATCH, LATENT, generator=draws))
        adam_d.zero_grad()
        discriminator_loss(discriminator(real), True).backward()
        discriminator_loss(discriminator(fake.detach()), False).backward()
        adam_d.step()
        adam_g.zero_grad()
        non_saturating(discriminator(fake)).backward()
        adam_g.step()
        seconds += time.perf_counter() - started
        if step in arguments.steps:
            answers = score(generator, torch.randn(IMAGES, LATENT, generator=draws))
            runs.append({"seed": seed, "steps": step, **answers})
            parts = [
                f"{mode}: top probability {answer['top_probability']:.3f}, smallest class {min(answer['class_shares']):.3f}"
                for mode, answer in answers.items()
            ]
            print(f"seed {seed}  {step:5} steps  {'; '.join(parts)}  {1000 * seconds / step:.2f} ms a step", flush=True)

path = FIXTURES / "baselines" / f"dcgan_digits_{arguments.width}_from_{arguments.smallest}.json"
path.parent.mkdir(parents=True, exist_ok=True)
settings = {"width": arguments.width, "smallest": arguments.smallest, "latent": LATENT, "batch": BATCH, "threads": arguments.threads}
about = {"script": "baseline_dcgan.py", "torch": torch.__version__.split("+")[0], **settings}
path.write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")
