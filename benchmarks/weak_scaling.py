"""Time of training on 1, 2, 4 and 8 virtual CPU devices: what dividing the work costs.

    python benchmarks/weak_scaling.py [--only=GAN] [--json=FILE]

A small recipe of each GAN is trained by `devices.compile_steps`, as `jaxgan.main`
does: on several devices with the same batch on each (weak scaling), and on one device
with as many images in one batch. All programs take turns in one process, block by
block, so that other load on the machine slows all of them.

Virtual devices share the machine's cores, so more of them are not faster. The table
shows what pmap, the all-reduces and smaller batches cost for the same work.

relative: images a second, divided by those of one device with one device's batch.
split: time of a step, divided by that of one device with the same images.

docs/scaling.md has the table.
"""

import argparse
import os
import runpy
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import side_by_side
from side_by_side import Side

CONFIGS = Path(__file__).parents[1] / "configs"


class Recipe(NamedTuple):
    """The shape of an image, the batch of a device, the numbers of devices."""

    shape: tuple[int, int, int]
    share: int
    counts: tuple[int, ...]


RECIPES = {
    "wgan": Recipe((8, 8, 1), 16, (1, 2, 4, 8)),
    "wgan_gp": Recipe((8, 8, 1), 16, (1, 2, 4, 8)),
    "cyclegan": Recipe((32, 32, 3), 1, (1, 2, 8)),
}


def config_of(name: str) -> Any:
    """Return the default recipe; the CycleGAN's networks are smaller."""
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()
    if name == "cyclegan":
        config.generator.update(name="resnet_1blocks", width=8)
        config.critic.update(name="pixel", width=8)
    return config


def side(name: str, count: int, images: int) -> Side:
    """Return the training of a recipe on `count` devices, `images` in a batch."""
    import jax

    from jaxgan.experiment import build
    from jaxgan.runtime import devices

    config, shape = config_of(name), RECIPES[name].shape
    used = jax.devices()[:count]
    gan = build(config).gan(shape, axis_name=devices.axis_name(used))
    steps = devices.compile_steps(gan, used)
    key = jax.random.key(0)
    state = devices.replicate(jax.jit(gan.init)(key), used)
    first = (config.train.steps_per_call, config.gan.get("n_critic", 1), images)
    rng = np.random.default_rng(0)
    names = ("a", "b") if name == "cyclegan" else ("image",)
    batch = {each: rng.integers(0, 256, (*first, *shape), np.uint8) for each in names}
    if name != "cyclegan":
        batch["label"] = np.zeros(first, np.int32)

    def run_call(batch: Any) -> Any:
        nonlocal state
        state, metrics = steps(state, batch, key)
        return metrics

    return Side(lambda: batch, run_call, jax.block_until_ready, first[0])


def measure(name: str, blocks: int, seconds: float) -> dict[tuple[int, int], float]:
    """Return the median ms of a step for each (devices, images) in turns.

    A block takes about `seconds`.
    """
    import jax

    # XLA takes a minute for each of the CycleGAN's programs otherwise.
    jax.config.update("jax_disable_most_optimizations", name == "cyclegan")
    _, share, counts = RECIPES[name]
    cases = sorted({case for n in counts for case in ((n, n * share), (1, n * share))})
    sides = {case: side(name, *case) for case in cases}
    iterations = {}
    for case, each in sides.items():
        side_by_side.block_ms(each, 1)  # compiles
        once = side_by_side.block_ms(each, 1)
        iterations[case] = max(1, round(seconds * 1e3 / once))
    times: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for _ in range(blocks):
        for case in cases:
            times[case].append(side_by_side.block_ms(sides[case], iterations[case]))
        cases.reverse()  # none is always the first
    return {case: statistics.median(each) for case, each in times.items()}


def rows(name: str, times: dict[tuple[int, int], float]) -> list[dict[str, Any]]:
    """Return the table's rows of what `measure` returned."""
    _, share, counts = RECIPES[name]
    made = []
    for count in counts:
        images = count * share
        rate = images / times[count, images]
        made.append(
            {
                "gan": name,
                "devices": count,
                "images": images,
                "ms": times[count, images],
                "relative": rate * times[1, share] / share,
                "split": times[count, images] / times[1, images],
            }
        )
    return made


def show(table: list[dict[str, Any]], n_critic: dict[str, int]) -> None:
    """Print the table in Markdown; images a second count those of all critic steps."""
    print(
        "| GAN | devices | batch | ms a step | images a second | relative | split |\n"
        "|---|---|---|---|---|---|---|"
    )
    for row in table:
        rate = row["images"] * n_critic[row["gan"]] / row["ms"] * 1e3
        print(
            f"| {row['gan']} | {row['devices']} | {row['images']} | {row['ms']:.2f} | "
            f"{rate:,.0f} | {row['relative']:.2f} | {row['split']:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=RECIPES, help="one GAN")
    parser.add_argument("--blocks", type=int, default=7, help="of each program")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a block")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    flags = parser.parse_args()
    load = os.getloadavg()[0]
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    import jax

    jax.config.update("jax_platforms", "cpu")
    names = [flags.only] if flags.only else list(RECIPES)
    table = []
    for name in names:
        table += rows(name, measure(name, flags.blocks, flags.seconds))
    cores = len(os.sched_getaffinity(0))
    print(f"jax {jax.__version__}, {cores} cores, load before the run {load:.2f}")
    show(table, {name: config_of(name).gan.get("n_critic", 1) for name in names})
    side_by_side.write_json(flags.json, table)


if __name__ == "__main__":
    main()
