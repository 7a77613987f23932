"""The cases of run.py, and jaxgan's side of them.

The data are random bytes in memory: nothing is downloaded, and the time of a step does
not depend on the pixels. All else is the path of `jaxgan.main`: `experiment.build`, the
feed and its plan, `devices.compile_steps`.
"""

import runpy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from side_by_side import Side

CONFIGS = Path(__file__).parents[1] / "configs"
MNIST_SIDE = 28


class Case(NamedTuple):
    """One case.

    Attributes:
        about: in words.
        recipe: config file and variant.
        count: images in memory; CycleGAN has as many in each domain.
        precision: `train.precision` on a GPU or TPU; on a CPU it is float32.
        fields: fields of the config with other values than the variant's.
        on_cpu: whether run.py takes it on a CPU unless it is named.
    """

    about: str
    recipe: tuple[str, str]
    count: int
    precision: str
    fields: Mapping[str, Any] = MappingProxyType({})
    on_cpu: bool = True


def cyclegan(
    side: int, resize: int, blocks: int, width: int, batch: int, on_cpu: bool = True
) -> Case:
    """Return the paper's recipe of CycleGAN with another size of images or networks."""
    return Case(
        f"CycleGAN, {side}x{side}, {blocks} blocks, width {width}, batch {batch}",
        ("cyclegan", "folder"),
        60,
        "bfloat16",
        {
            "generator.name": f"resnet_{blocks}blocks",
            "generator.width": width,
            "critic.width": width,
            "data.resize": resize,
            "data.image_size": side,
            "data.batch_size": batch,
        },
        on_cpu,
    )


CASES = {
    "mlp": Case(
        "the tutorial's WGAN-GP of MLPs, 28x28, batch 64",
        ("wgan_gp", "tutorial"),
        60_000,
        "float32",
    ),
    # The only recipe here with DCGAN's networks at 64x64 is WGAN's, of the authors'
    # main.py, whose critic has BatchNorm and is clipped. WGAN-GP's recipe for 64x64 has
    # ResNets, which `cifar_resnet` stands for. Without the 100 critic steps of the
    # first 25 iterations, which would be measured otherwise.
    "dcgan64": Case(
        "WGAN's DCGAN, 64x64, width 64, batch 64",
        ("wgan", "image64"),
        4_000,
        "tf32",
        {"gan.critic_start": False},
    ),
    "cifar_resnet": Case(
        "WGAN-GP's ResNets for CIFAR-10, 32x32, width 128, batch 64",
        ("wgan_gp", "cifar10_resnet"),
        10_000,
        "tf32",
    ),
    "cyclegan64": cyclegan(64, 72, 6, 32, 4),
    "cyclegan128": cyclegan(128, 143, 9, 64, 1),
    "cyclegan256": cyclegan(256, 286, 9, 64, 1, on_cpu=False),
    "cyclegan256_batch8": cyclegan(256, 286, 9, 64, 8, on_cpu=False),
}

# --smoke: the same code in seconds, to see whether it runs.
SMALL_CYCLEGAN = {
    "generator.name": "resnet_1blocks",
    "generator.width": 4,
    "critic.width": 4,
    "data.resize": 36,
    "data.image_size": 32,
    "data.batch_size": 2,
}
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"data.batch_size": 4, "train.steps_per_call": 2},
    "dcgan64": {
        "generator.width": 2,
        "critic.width": 2,
        "data.image_size": 16,
        "data.batch_size": 2,
    },
    "cifar_resnet": {"generator.width": 4, "critic.width": 4, "data.batch_size": 2},
}


def small(name: str) -> Case:
    """Return a case with small networks and batches."""
    case = CASES[name]
    fields = SMALL.get(name, SMALL_CYCLEGAN)
    about = f"{case.about} (small: only whether it runs)"
    return case._replace(about=about, count=30, fields={**case.fields, **fields})


def config_of(case: Case, precision: str, fields: str = "") -> Any:
    """Return the config of a case with `train.precision`.

    `fields` are others to set, in the form of a variant: 'FIELD=VALUE,...'.
    """
    from jaxgan.experiment.variants import set_field

    file, variant = case.recipe
    config = runpy.run_path(str(CONFIGS / f"{file}.py"))["get_config"](variant)
    config.update_from_flattened_dict({**case.fields, "train.precision": precision})
    for each in filter(None, fields.split(",")):
        name, _, value = each.partition("=")
        set_field(config, name, value)
    return config


def make_images(config: Any, count: int) -> np.ndarray:
    """Return the images of all domains, uint8 [domains, count, h, w, c]."""
    domains = 2 if config.gan.name == "cyclegan" else 1
    side = config.data.get("resize", 0) or config.data.image_size or MNIST_SIDE
    shape = (domains, count, side, side, config.data.channels or 1)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def make_data(config: Any, images: np.ndarray) -> Any:
    """Return `make_images` as a data set or a pair of domains."""
    from jaxgan import data
    from jaxgan.data import cache

    if len(images) == 1:
        train, heldout = (data.ArraySource(part) for part in (images[0], images[0, :8]))
        shape = images.shape[2:]
        return data.Dataset(train, heldout, shape, 0, np.dtype(np.uint8))
    side = config.data.image_size
    parts = [cache.pack_images(domain) for domain in images]
    heldout = [cache.pack_images(domain[:8, :side, :side]) for domain in images]
    return data.Pair(*parts, *heldout, truth=False, shape=(side, side, 3))


def jaxgan_side(config: Any, images: np.ndarray) -> Side:
    """Return the training of a config as `jaxgan.train` runs it.

    As there, the host may run one call ahead of the device.
    """
    import jax

    from jaxgan import data
    from jaxgan.experiment import build
    from jaxgan.runtime import devices, precision

    experiment = build(config)
    precision.configure(experiment.precision, experiment.deterministic)
    used = jax.devices()[:1]
    examples = make_data(config, images)
    # `data.cache=auto` keeps examples on a device that has memory of its own.
    if used[0].platform != "cpu":
        examples = examples._replace(on_device=True)
    feed = experiment.feed(examples)
    gan = experiment.gan(
        feed.shape,
        feed.num_classes,
        axis_name=devices.axis_name(used),
        epoch_examples=feed.plan.num_examples,
    )
    key = jax.random.key(experiment.seed)
    steps = devices.compile_steps(gan, used, feed.device_data)
    state = devices.replicate(jax.jit(gan.init)(key), used)
    calls = data.calls(feed.plan, experiment.steps_per_call, 0, 10**9)
    batches = iter(feed.batches(calls))
    previous: Any = ()

    def run_call(batch: Any) -> Any:
        nonlocal state, previous
        state, metrics = steps(state, batch, key)
        jax.block_until_ready(previous)
        previous = metrics
        return metrics

    return Side(
        lambda: next(batches),
        run_call,
        jax.block_until_ready,
        experiment.steps_per_call,
    )


def networks_of(config: Any) -> Any:
    """Return the modules of a config: Players or Domains."""
    from jaxgan.experiment import build

    side = config.data.image_size or MNIST_SIDE
    return build(config).networks((side, side, config.data.channels or 1))
