"""Bytes that a training step sends between devices, and the time that they may take.

    python benchmarks/communication.py [--only=RECIPE] [--json=FILE]

The collective operations of the program that eight devices run are counted in three
ways (`devices.compile_steps` on virtual CPU devices; nothing is trained):

compiled: the all-reduces and all-gathers of XLA's optimized program: the bytes of their
    results, times the trip counts of the loops around them. This is what runs, so the
    number of operations and the total are taken from it. XLA joins the arrays of a turn
    into one operation, so that it no longer shows which bytes are gradients.
traced: the same in the jaxpr, before XLA: one operation for each array, with the place
    in the code that it comes from. The split into parts is taken from it.
model: the closed form (`model`).

Traced and model have to agree to the byte, or the script fails. Compiled may have up to
1 % less, because XLA sums only once what is equal (biases whose outputs are added have
the same gradient) or what does not change in a loop.

The times are a model too, of ring algorithms with the figures in links.py: none was
measured but those of one device, which the third table adds to the model's. FLOP are
XLA's count of the step on one device, all critic steps included.
docs/scaling.md has the tables.
"""

import argparse
import json
import math
import os
import runpy
from pathlib import Path
from typing import Any, NamedTuple

import collectives
import flops
import links
import numpy as np
from links import LINKS, Link, hiding_batch, seconds

DEVICES, COUNTS = 8, (8, 32, 256)
STEP_COUNTS = (1, 2, 4, 8)
CONFIGS = Path(__file__).parents[1] / "configs"


class Recipe(NamedTuple):
    """A config, the shape of its examples and the batch of each device."""

    file: str
    variant: str
    shape: tuple[int, ...]
    batch: int


RECIPES = {
    # 50 examples do not divide by eight: 48.
    "wgan:mnist": Recipe("wgan", "mnist", (28, 28, 1), 6),
    "wgan_gp:tutorial": Recipe("wgan_gp", "tutorial", (28, 28, 1), 8),
    "wgan_gp:cifar10_resnet": Recipe("wgan_gp", "cifar10_resnet", (32, 32, 3), 8),
    "wgan_gp:image64": Recipe("wgan_gp", "image64", (64, 64, 3), 8),
    "cyclegan:horse2zebra": Recipe("cyclegan", "horse2zebra", (256, 256, 3), 1),
    "cyclegan": Recipe("cyclegan", "", (64, 64, 3), 1),
}


# The program


def config_of(recipe: Recipe) -> Any:
    """Return the recipe's config."""
    return runpy.run_path(str(CONFIGS / f"{recipe.file}.py"))["get_config"](
        recipe.variant
    )


def zeros(config: Any, shape: tuple[int, ...], count: int) -> dict[str, np.ndarray]:
    """Return a batch of one step, leaves [1, n_critic, count, ...]."""
    first = (1, config.gan.get("n_critic", 1), count)
    names = ("a", "b") if config.gan.name == "cyclegan" else ("image",)
    batch: dict[str, Any] = {
        name: np.zeros((*first, *shape), np.uint8) for name in names
    }
    if config.gan.name != "cyclegan":
        batch["label"] = np.zeros(first, np.int32)
    return batch


def program(config: Any, shape: tuple[int, ...], batch: int) -> tuple[Any, Any, Any]:
    """Return `steps(state, key)` of eight devices, and what it takes as shapes.

    `batch` is that of one device.
    """
    import jax

    from jaxgan.experiment import build
    from jaxgan.runtime import devices

    used = jax.devices()[:DEVICES]
    gan = build(config).gan(shape, axis_name=devices.axis_name(used))
    steps = devices.compile_steps(gan, used)
    data = zeros(config, shape, DEVICES * batch)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(gan.init, key)
    return lambda state, key: steps(state, data, key), state, key


# The model


def elements(tree: Any) -> int:
    """Return the number of elements of all arrays of a tree of shapes."""
    import jax

    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def model(config: Any, shape: tuple[int, ...], batch: int) -> dict[str, int]:
    """Return the bytes of a step by part, of float32 networks, in closed form.

    With n critic steps, P parameters and S running statistics (a mean and a variance
    a channel; D is the critic, G the generator), 4 bytes each:

    gradients: n P_D + P_G.
    batch_norm: S of a network for each time that a batch passes it, and again where
        gradients pass back. WGAN: n + 2 passes of G and 4 n + 2 of D. CycleGAN: 4 of G,
        6 with identity loss, and 6 of D.
    metrics: one each, the critic's n times.
    pool: the generated images of all devices, both domains.
    """
    import jax

    from jaxgan.experiment import build

    gan = build(config).gan(shape)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(gan.init, key)
    data = {name: leaf[0] for name, leaf in zeros(config, shape, batch).items()}
    _, metrics = jax.eval_shape(gan.train_step, state, data, key)
    local = ("learning_rate/", "critic/weights_at_clip")
    averaged = {n: leaf for n, leaf in metrics.items() if not n.startswith(local)}
    cyclegan = config.gan.name == "cyclegan"
    n = config.gan.get("n_critic", 1)
    if cyclegan:
        passes = 6 if config.gan.identity_weight else 4, 6
    else:
        passes = n + 2, 4 * n + 2
    statistics = [elements(p.batch_stats) for p in (state.generator, state.critic)]
    critic, generator = elements(state.critic.params), elements(state.generator.params)
    moments = sum(s * p for s, p in zip(statistics, passes, strict=True))
    pooled = 2 * DEVICES * batch * 4 * math.prod(shape)
    return {
        "gradients": 4 * (n * critic + generator),
        "batch_norm": 4 * moments,
        "metrics": 4 * elements(averaged),
        "pool": pooled if cyclegan and config.gan.pool_size else 0,
    }


def flop_per_example(config: Any, shape: tuple[int, ...]) -> float:
    """Return the FLOP of a step, for each example of its batch, by `flops.step`."""
    from jaxgan.experiment import build

    return flops.step(config, build(config).networks(shape)) / config.data.batch_size


# The report


def count(config: Any, shape: tuple[int, ...], batch: int) -> dict[str, Any]:
    """Return what a step sends by all three counts; ValueError where they differ."""
    import jax

    steps, state, key = program(config, shape, batch)
    by_trace = collectives.traced(jax.make_jaxpr(steps)(state, key).jaxpr, state)
    split = collectives.by_part(by_trace)
    text = jax.jit(steps).lower(state, key).compile().as_text()
    operations = collectives.compiled(text)
    gathers = [each for each in operations if each.name in collectives.GATHERS]
    reduces = [each for each in operations if each.name not in collectives.GATHERS]
    expected = model(config, shape, batch)
    total = collectives.total(operations)
    if split != expected or not 0.99 <= total / sum(expected.values()) <= 1:
        raise ValueError(f"traced {split}, compiled {total}, model {expected}")
    return {
        "parameters": [elements(p.params) for p in (state.generator, state.critic)],
        "bytes": expected,
        "compiled": total,
        "reduced": collectives.total(reduces),
        "reduces": sum(each.times for each in reduces),
        "gathers": sum(each.times for each in gathers),
        "pool_per_example": expected["pool"] / (DEVICES * batch),
    }


def measure(recipe: Recipe) -> dict[str, Any]:
    """Return `count` of a recipe, and its FLOP."""
    config = config_of(recipe)
    sent = count(config, recipe.shape, recipe.batch)
    flop = flop_per_example(config, recipe.shape)
    return sent | {"flop_per_example": flop}


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print both tables, in Markdown."""
    print(
        "| recipe | parameters G, D | batch a device | gradients | BatchNorm | metrics "
        "| pools | compiled | all-reduces, all-gathers | GFLOP an example |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, sent in results.items():
        parts = " | ".join(f"{size:,}" for size in sent["bytes"].values())
        generator, critic = sent["parameters"]
        print(
            f"| {name} | {generator:,}, {critic:,} | {RECIPES[name].batch} | {parts} | "
            f"{sent['compiled']:,} | {sent['reduces']}, {sent['gathers']} | "
            f"{sent['flop_per_example'] / 1e9:.4g} |"
        )
    names = " | ".join(LINKS)
    print(f"\n| recipe | devices | {names} |\n|---|---|{'---|' * len(LINKS)}")
    for name, sent in results.items():
        for devices in COUNTS:
            cells = " | ".join(
                cell(link, devices, sent, RECIPES[name].batch)
                for link in LINKS.values()
            )
            print(f"| {name} | {devices} | {cells} |")
    show_steps(results)


def show_steps(results: dict[str, dict[str, Any]]) -> None:
    """Print the times of a step on 1 to 8 devices, where one device was measured.

    And the batch of a device from which on eight devices sending takes at most
    `links.HIDDEN` of a step: by the measured time for NVLink, for a TPU by its peak.
    """
    counts = " | ".join(f"{count} ms" for count in STEP_COUNTS)
    print(
        f"\n| recipe, precision | batch a device | {counts} | sending | hidden from, "
        f"NVLink | hidden from, ICI |\n|---|---|{'---|' * len(STEP_COUNTS)}---|---|---|"
    )
    nvlink, ici = LINKS["H100 NVLink 4"], LINKS["TPU v5e ICI"]
    for name, sent in results.items():
        for one in links.MEASURED.get(name, []):
            times = [links.step_ms(nvlink, n, sent, one) for n in STEP_COUNTS]
            computing = one.ms / 1e3 / one.batch
            cells = (
                f"{name}, {one.precision}",
                f"{one.batch}",
                *(f"{ms:.4g}" for ms in times),
                f"{1 - one.ms / times[-1]:.1%}",
                whole(hiding_batch(nvlink, 8, sent, computing, links.HIDDEN)),
                whole(hiding_batch(ici, 8, sent, share=links.HIDDEN)),
            )
            print(f"| {' | '.join(cells)} |")


def whole(batch: float) -> str:
    """Return the next whole number in words."""
    return f"{math.ceil(batch):,}" if math.isfinite(batch) else "never"


def cell(link: Link, devices: int, sent: dict[str, Any], batch: int) -> str:
    """Return 'ms of sending; batch a device that hides it'."""
    words = whole(hiding_batch(link, devices, sent))
    return f"{seconds(link, devices, sent, batch) * 1e3:.3g} ms; {words}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=RECIPES, help="one recipe")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    flags = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    # What is left out changes no collective, and takes most of the time to compile.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    import jax

    jax.config.update("jax_platforms", "cpu")
    names = [flags.only] if flags.only else list(RECIPES)
    results = {name: measure(RECIPES[name]) for name in names}
    print(f"jax {jax.__version__}; bytes of a step on {DEVICES} devices")
    show(results)
    if flags.json:
        flags.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
