"""Times one generator iteration of tutorial 11's WGAN-GP here and in PyTorch eager.

    python benchmarks/wgan_gp_step.py [--threads=1] [--json=FILE]

An iteration is 5 critic steps with gradient penalty, each with new data, latents and
interpolation, then one generator step. Both sides take their batches from the same
uint8 array in memory, and take turns in one process, block by block, so that what else
the machine does falls on both. Needs the extra `bench`.

Both run on the CPU with the same number of threads. PyTorch is written as a careful
user would: the penalty is right (one epsilon and one norm an example, which the
tutorial's code gets wrong for images), fakes for the critic carry no graph, and the
generator's step computes no gradients for the critic's parameters.

Run it on an idle machine: where others compete for the CPUs, PyTorch's OpenMP threads
wait for one another and lose far more than XLA's, which flatters this project. The
table gives the machine's load of the minute before.
"""

import argparse
import itertools
import json
import os
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BATCH, LATENT, N_CRITIC, PENALTY_WEIGHT = 64, 100, 5, 10.0
LEARNING_RATE, BETAS = 1e-4, (0.5, 0.999)
CONFIG = Path(__file__).parents[1] / "configs" / "wgan_gp.py"


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
        make_batch: () -> the host's batch for one call.
        run_call: trains on a batch; returns what `wait` waits for.
        wait: returns when the call is done.
        steps_per_call: generator iterations in one call.
    """

    make_batch: Callable[[], Any]
    run_call: Callable[[Any], Any]
    wait: Callable[[Any], Any]
    steps_per_call: int


def jaxgan_side(images: np.ndarray) -> Side:
    """Return the iteration as `jaxgan.main` runs it with the variant `tutorial`."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    from jaxgan import build, data, parallel

    config = runpy.run_path(str(CONFIG))["get_config"]("tutorial")
    source = data.ArraySource(images)
    gan = build.gan(config, images.shape[1:])
    devices = jax.devices()[:1]
    steps = parallel.compile_steps(gan, devices)
    key = jax.random.key(config.train.seed)
    state = parallel.replicate(gan.init(key), devices)
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


def block_ms(side: Side, iterations: int) -> float:
    """Return the mean time in ms of one iteration over a block of at least so many."""
    calls = -(-iterations // side.steps_per_call)
    start = time.perf_counter()
    for _ in range(calls):
        result = side.run_call(side.make_batch())
    side.wait(result)
    return (time.perf_counter() - start) * 1e3 / (calls * side.steps_per_call)


def batch_ms(side: Side, calls: int) -> float:
    """Return the median time in ms of making one iteration's host batch, alone."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        side.make_batch()
        times.append((time.perf_counter() - start) * 1e3 / side.steps_per_call)
    return statistics.median(times)


def summary(jaxgan: list[float], torch: list[float], pipeline: float) -> dict[str, Any]:
    """Return the medians in ms, their ratio, and the pipeline's share of a step.

    Args:
        jaxgan: ms of an iteration, one number a block.
        torch: the same; block i ran right before or after jaxgan's block i.
        pipeline: ms of making the host's batch of one iteration of jaxgan.
    """
    ratios = [ours / theirs for ours, theirs in zip(jaxgan, torch, strict=True)]
    median = statistics.median(jaxgan)
    return {
        "jaxgan_ms": median,
        "torch_ms": statistics.median(torch),
        "ratio": median / statistics.median(torch),
        "ratio_10_percent": float(np.percentile(ratios, 10)),
        "ratio_90_percent": float(np.percentile(ratios, 90)),
        "pipeline_ms": pipeline,
        "pipeline_share": pipeline / median,
    }


def limit_threads(threads: int) -> int:
    """Bind this process to `threads` CPUs, 0 for as it is; return their number.

    XLA has no such flag: it takes as many threads as the process may use CPUs, so
    this has to come before it starts.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if threads:
        os.sched_setaffinity(0, cpus[:threads])
    return len(os.sched_getaffinity(0))


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(
        f"one generator iteration ({N_CRITIC} critic steps, batch {BATCH}), "
        f"threads: {result['threads']}, {result['blocks']} blocks of "
        f"{result['iterations']} iterations on each side\n"
        f"  jaxgan   {result['jaxgan_ms']:8.2f} ms  jax {result['jax']}, "
        f"{result['steps_per_call']} steps a call\n"
        f"  PyTorch  {result['torch_ms']:8.2f} ms  torch {result['torch']}, eager\n"
        f"  ratio    {result['ratio']:8.2f}     of medians, jaxgan / PyTorch; 80 % of "
        f"the pairs of blocks: {result['ratio_10_percent']:.2f} to "
        f"{result['ratio_90_percent']:.2f}\n"
        f"  input    {result['pipeline_ms']:8.3f} ms  making the host's batch: "
        f"{result['pipeline_share']:.1%} of a jaxgan step\n"
        f"  load     {result['load_before']:8.2f}     of the machine before the run"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    parser.add_argument("--blocks", type=int, default=30, help="on each side")
    parser.add_argument("--iterations", type=int, default=40, help="in one block")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    flags = parser.parse_args()
    threads = limit_threads(flags.threads)
    load = os.getloadavg()[0]

    import jax
    import torch

    images = np.random.default_rng(0).integers(
        0, 256, size=(60_000, 28, 28, 1), dtype=np.uint8
    )
    ours, theirs = jaxgan_side(images), torch_side(images, threads)
    for side in (ours, theirs):
        block_ms(side, flags.iterations)  # compiles, fills caches
    times: dict[str, list[float]] = {"jaxgan": [], "torch": []}
    pairs = [("jaxgan", ours), ("torch", theirs)]
    for _ in range(flags.blocks):
        for name, side in pairs:
            times[name].append(block_ms(side, flags.iterations))
        pairs.reverse()  # neither side is always the first
    pipeline = batch_ms(ours, calls=200)
    result = {
        "jax": jax.__version__,
        "torch": torch.__version__,
        "threads": threads,
        "load_before": load,
        "blocks": flags.blocks,
        "iterations": flags.iterations,
        "steps_per_call": ours.steps_per_call,
        **summary(times["jaxgan"], times["torch"], pipeline),
    }
    show(result)
    if flags.json:
        flags.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
