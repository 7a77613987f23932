"""Time of one generator iteration of tutorial 11's WGAN-GP, here and in PyTorch eager.

    python benchmarks/wgan_gp_step.py [--threads=1] [--json=FILE]

An iteration is 5 critic steps with gradient penalty, each with new data, latents and
interpolation, then one generator step (docs/papers.md, "Tutorials"). Both sides take
their batches from the same uint8 array in memory. They take turns in one process, block
by block, so that other load on the machine slows both. Needs the extra `bench`.

Both run on the CPU with the same number of threads. PyTorch is written as a careful
user would write it: the penalty is right (one epsilon and one norm for each example,
which the tutorial's code gets wrong for images), fakes for the critic carry no graph,
and the generator's step computes no gradients for the critic's parameters.

Run it on an idle machine. Where others compete for the CPUs, PyTorch's OpenMP threads
wait for one another and lose far more time than XLA's, which flatters this project. The
table gives the machine's load of the minute before.
"""

import itertools
import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import side_by_side
from side_by_side import Side

BATCH, LATENT, N_CRITIC, PENALTY_WEIGHT = 64, 100, 5, 10.0
LEARNING_RATE, BETAS = 1e-4, (0.5, 0.999)
CONFIG = Path(__file__).parents[1] / "configs" / "wgan_gp.py"


def jaxgan_side(images: np.ndarray) -> Side:
    """Return the iteration as `jaxgan.main` runs it with the variant `tutorial`."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    from jaxgan import data
    from jaxgan.experiment import build
    from jaxgan.runtime import devices

    config = runpy.run_path(str(CONFIG))["get_config"]("tutorial")
    source = data.ArraySource(images)
    gan = build(config).gan(images.shape[1:])
    used = jax.devices()[:1]
    steps = devices.compile_steps(gan, used)
    key = jax.random.key(config.train.seed)
    state = devices.replicate(gan.init(key), used)
    count = config.train.steps_per_call
    calls = (range(step, step + count) for step in itertools.count(0, count))
    batches = iter(data.batches(source, build.plan(config, len(source)), calls))

    def run_call(batch: Any) -> Any:
        nonlocal state
        state, metrics = steps(state, batch, key)
        return metrics

    return Side(lambda: next(batches), run_call, jax.block_until_ready, count)


def torch_networks() -> tuple[Any, Any]:
    """Return the tutorial's generator [b, 100] -> [b, 784] and critic -> [b, 1]."""
    from torch import nn

    generator = nn.Sequential(
        nn.Linear(LATENT, 128),
        nn.ReLU(),
        nn.Linear(128, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
        nn.Tanh(),
    )
    critic = nn.Sequential(
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 128),
        nn.LeakyReLU(0.2),
        nn.Linear(128, 1),
    )
    return generator, critic


def torch_penalty(critic: Any, real: Any, fake: Any) -> Any:
    """Return mean((||grad D(x')|| - 1)^2), x' between real and fake [b, d] each."""
    import torch

    alpha = torch.rand(len(real), 1)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return ((gradient.norm(dim=1) - 1) ** 2).mean()


def torch_side(images: np.ndarray, threads: int) -> Side:
    """Return the iteration in plain PyTorch, one step a call."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    generator, critic = torch_networks()
    parameters = list(generator.parameters())
    generator_tx, critic_tx = (
        torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS)
        for network in (generator, critic)
    )
    data = torch.from_numpy(images).reshape(len(images), -1)

    def shuffled():  # every example once an epoch; the last short batch is dropped
        while True:
            yield from torch.randperm(len(data)).split(BATCH)[: len(data) // BATCH]

    order = shuffled()

    def make_batch() -> Any:
        return torch.stack([data[next(order)] for _ in range(N_CRITIC)])

    def run_call(batch: Any) -> Any:
        for pixels in batch:
            real = pixels.float() / 127.5 - 1
            with torch.no_grad():
                fake = generator(torch.randn(BATCH, LATENT))
            loss = critic(fake).mean() - critic(real).mean()
            loss = loss + PENALTY_WEIGHT * torch_penalty(critic, real, fake)
            critic_tx.zero_grad()
            loss.backward()
            critic_tx.step()
        loss = -critic(generator(torch.randn(BATCH, LATENT))).mean()
        generator_tx.zero_grad()
        loss.backward(inputs=parameters)
        generator_tx.step()
        return loss

    return Side(make_batch, run_call, lambda result: result, 1)


def main() -> None:
    parser = side_by_side.parser(__doc__, blocks=30, iterations=40)
    flags = parser.parse_args()
    threads = side_by_side.limit_threads(flags.threads)
    load = os.getloadavg()[0]
    images = np.random.default_rng(0).integers(
        0, 256, size=(60_000, 28, 28, 1), dtype=np.uint8
    )
    result = side_by_side.compare(
        jaxgan_side(images), torch_side(images, threads), flags.blocks, flags.iterations
    )
    result |= {"threads": threads, "load_before": load}
    title = f"one generator iteration ({N_CRITIC} critic steps, batch {BATCH})"
    side_by_side.show(title, result)
    side_by_side.write_json(flags.json, result)


if __name__ == "__main__":
    main()
