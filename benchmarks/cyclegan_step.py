"""Time or memory of one CycleGAN iteration, here and in PyTorch eager.

    python benchmarks/cyclegan_step.py --size=128|64 [--threads=1] [--json=FILE]
    python benchmarks/cyclegan_step.py --size=128|64 --memory

--size=128: 128x128, 9 blocks, width 64, batch 1.
--size=64: 64x64, 6 blocks, width 32, batch 4.

An iteration is that of the paper's recipe: both generators with cycle and identity
loss, both image pools, both critics, two Adams. Both sides cut and flip their batches
out of the same uint8 arrays in memory. They take turns in one process, block by block,
so that other load on the machine slows both. Needs the extra `bench`.

Both run on the CPU with the same number of threads. PyTorch is written as a careful
user would write it from the authors' code (cyclegan_torch.py): the generators' step
computes no gradients for the critics' parameters, fakes for the critics carry no graph,
and activations are in place.

--memory: each side trains in a process of its own. The result is the memory of the
steps, which is by how much the resident memory grows up to its peak: parameters,
optimizer states, pools, activations, gradients and work space. The import of the
framework does not count, nor does compilation with the program that it makes: both are
over before the growth is measured, and arrays that exist by then are added. The peaks
of the whole processes, where all of this does count, are printed beside it: of one that
compiles, and of one that loads its programs from the compilation cache that the first
has filled.

Run it on an idle machine. Where others compete for the CPUs, PyTorch's OpenMP threads
wait for one another and lose far more time than XLA's, which flatters this project. The
table gives the machine's load of the minute before.
"""

import argparse
import ctypes
import gc
import itertools
import json
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import side_by_side
from side_by_side import Side

IMAGES = 60  # in each domain
CONFIG = Path(__file__).parents[1] / "configs" / "cyclegan.py"


class Recipe(NamedTuple):
    """What is trained.

    Attributes:
        resize: side of the images in memory.
        size: side of what is cut out of them.
        blocks: of a generator.
        width: channels of the generators' and the critics' first convolution.
        batch: images of each domain in an iteration.
    """

    resize: int
    size: int
    blocks: int
    width: int
    batch: int


RECIPES = {128: Recipe(143, 128, 9, 64, 1), 64: Recipe(72, 64, 6, 32, 4)}


def make_images(recipe: Recipe) -> list[np.ndarray]:
    """Return the images of both domains, uint8 [n, resize, resize, 3] each."""
    rng = np.random.default_rng(0)
    shape = (IMAGES, recipe.resize, recipe.resize, 3)
    return [rng.integers(0, 256, shape, np.uint8) for _ in "ab"]


# This project


def jaxgan_config(recipe: Recipe) -> Any:
    """Return the paper's recipe at this size."""
    config = runpy.run_path(str(CONFIG))["get_config"]("folder")
    config.generator.name = f"resnet_{recipe.blocks}blocks"
    config.generator.width = config.critic.width = recipe.width
    config.data.update(
        resize=recipe.resize, image_size=recipe.size, batch_size=recipe.batch
    )
    return config


def jaxgan_side(recipe: Recipe, images: list[np.ndarray]) -> Side:
    """Return the iteration as `jaxgan.main` runs it, compiled."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    from jaxgan import data
    from jaxgan.data import cache
    from jaxgan.experiment import build
    from jaxgan.runtime import devices, precision

    config = jaxgan_config(recipe)
    precision.configure(config.train.precision, config.train.deterministic)
    parts = [cache.pack_images(domain) for domain in images]
    shape = (recipe.size, recipe.size, 3)
    pair = data.Pair(*parts, *parts, truth=False, shape=shape)
    plan = build.pair_plan(config, pair)
    gan = build(config).gan(shape, epoch_examples=plan.num_examples)
    used = jax.devices()[:1]
    steps = devices.compile_steps(gan, used)
    key = jax.random.key(config.train.seed)
    state = devices.replicate(jax.jit(gan.init)(key), used)
    count = config.train.steps_per_call
    calls = (range(step, step + count) for step in itertools.count(0, count))
    batches = iter(data.pair_batches(pair, plan, calls))
    first = next(batches)
    steps.lower(state, first, key).compile()  # which the first call then takes
    batches = itertools.chain([first], batches)

    def run_call(batch: Any) -> Any:
        nonlocal state
        state, metrics = steps(state, batch, key)
        return metrics

    return Side(lambda: next(batches), run_call, jax.block_until_ready, count)


# PyTorch


def torch_side(recipe: Recipe, images: list[np.ndarray], threads: int) -> Side:
    """Return the iteration in plain PyTorch, one step a call."""
    import torch
    from cyclegan_torch import CycleGAN

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = CycleGAN(recipe.blocks, recipe.width)
    domains = [torch.from_numpy(domain).permute(0, 3, 1, 2) for domain in images]
    room = recipe.resize - recipe.size + 1

    def cut(domain: Any) -> Any:
        image = domain[random.randrange(len(domain))]
        top, left = random.randrange(room), random.randrange(room)
        image = image[:, top : top + recipe.size, left : left + recipe.size]
        return image.flip(2) if random.random() < 0.5 else image

    def make_batch() -> Any:
        return [
            torch.stack([cut(domain) for _ in range(recipe.batch)])
            for domain in domains
        ]

    def run_call(batch: Any) -> Any:
        return model.step(*(pixels.float() / 127.5 - 1 for pixels in batch))

    return Side(make_batch, run_call, lambda result: result, 1)


# Memory


def resident(field: str) -> float:
    """Return this process's VmRSS or VmHWM (its peak), in 10^9 bytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{field}:\s*(\d+) kB", status)[0]) * 1024 / 1e9


def settled() -> float:
    """Give freed memory back, let the peak begin anew, and return what is resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def measure_one(
    name: str, recipe: Recipe, count: int, threads: int
) -> dict[str, float]:
    """Train on one side; return the memory of its steps and its process's peak."""
    images = make_images(recipe)
    if name == "torch":
        import cyclegan_torch  # noqa: F401

        highest, before, held = 0.0, settled(), 0.0
        side = torch_side(recipe, images, threads)
    else:
        import jax

        side = jaxgan_side(recipe, images)
        held = sum(array.nbytes for array in jax.live_arrays()) / 1e9
        highest, before = resident("VmHWM"), settled()
    side_by_side.block_ms(side, count)
    peak = resident("VmHWM")
    return {"steps": peak - before + held, "process": max(highest, peak)}


def memory(flags: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Return what `measure_one` measured in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

        def measured(name: str) -> dict[str, float]:
            command = [sys.executable, __file__, f"--only={name}"]
            command += [f"--size={flags.size}", f"--iterations={flags.iterations}"]
            command += [f"--threads={threads}"]
            done = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE
            )
            return json.loads(done.stdout.splitlines()[-1])

        compiling, ours, theirs = map(measured, ("jaxgan", "jaxgan", "torch"))
    return {
        "compiling": compiling,
        "jaxgan": ours,
        "torch": theirs,
        "ratio": ours["steps"] / theirs["steps"],
    }


def show_memory(title: str, result: dict[str, Any]) -> None:
    """Print the table."""
    compiling, ours, theirs = (result[n] for n in ("compiling", "jaxgan", "torch"))
    print(
        f"{title}, peak memory in {result['iterations']} iterations\n"
        f"  jaxgan   {ours['steps']:8.3f} GB  of the steps; of the process "
        f"{ours['process']:.3f} GB, {compiling['process']:.3f} GB where it compiles\n"
        f"  PyTorch  {theirs['steps']:8.3f} GB  of the steps; of the process "
        f"{theirs['process']:.3f} GB\n"
        f"  ratio    {result['ratio']:8.2f}     of the steps, jaxgan / PyTorch"
    )


def main() -> None:
    parser = side_by_side.parser(__doc__, blocks=15, iterations=3)
    parser.add_argument("--size", type=int, choices=RECIPES, default=128)
    parser.add_argument("--memory", action="store_true", help="instead of the time")
    parser.add_argument("--only", choices=("jaxgan", "torch"), help="of --memory")
    flags = parser.parse_args()
    threads = side_by_side.limit_threads(flags.threads)
    load = os.getloadavg()[0]
    recipe = RECIPES[flags.size]
    if flags.only:
        print(json.dumps(measure_one(flags.only, recipe, flags.iterations, threads)))
        return
    title = (
        f"one CycleGAN iteration ({recipe.size}x{recipe.size}, {recipe.blocks} blocks, "
        f"width {recipe.width}, batch {recipe.batch})"
    )
    if flags.memory:
        result = {**memory(flags, threads), "iterations": flags.iterations}
        show_memory(title, result)
    else:
        images = make_images(recipe)
        result = side_by_side.compare(
            jaxgan_side(recipe, images),
            torch_side(recipe, images, threads),
            flags.blocks,
            flags.iterations,
        )
        result |= {"threads": threads, "load_before": load}
        side_by_side.show(title, result)
    side_by_side.write_json(flags.json, result)


if __name__ == "__main__":
    main()
