"""A generator of a run or of a weights file, applied to image files of any size."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxgan import build, checkpoint, image_files, process, weights
from jaxgan import config as configs
from jaxgan.errors import UserError
from jaxgan.image_files import Picture
from jaxgan.models import image_to_image
from jaxgan.types import PyTree

DIRECTIONS = ("a2b", "b2a")
# A ResNet's blocks reflect by one pixel at a quarter of the size, which needs two.
SMALLEST_SIDE = 8


class Generator(NamedTuple):
    """A trained generator.

    Attributes:
        module: images [b, h, w, channels] -> images of the same shape.
        variables: {'params', 'batch_stats'} of it.
        channels: 1 or 3.
        multiple: what both sides of its images have to be a multiple of.
        title: where it comes from, for people.
    """

    module: nn.Module
    variables: PyTree
    channels: int
    multiple: int
    title: str


def of_run(workdir: Path, direction: str, step: int | None = None) -> Generator:
    """Return a generator of the run in `workdir`, by default of its newest checkpoint.

    The moving average where the run keeps one. Neither the data set nor any flag of
    the network is needed: config and images' shape are stored with the checkpoint.

    Raises:
        UserError: no CycleGAN's run, no such checkpoint, or a damaged one.
    """
    config = configs.load(workdir)
    if config.gan.name != "cyclegan":
        raise UserError(
            f"--workdir = {workdir}: a run of {config.gan.name}, which does not "
            "translate; needed is one of cyclegan"
        )
    folder = workdir / "checkpoints"
    step = checkpoint.sound_step(folder, step)
    shape = tuple(checkpoint.read_loop(folder, step)["shape"])
    definition = build.generator_definition(config, shape)
    module = _module(definition)
    like: PyTree = {
        part: {direction: tree} for part, tree in _shapes(module, definition).items()
    }
    averaged = config.gan.ema_decay > 0
    like = {"memory": {"average": like}} if averaged else {"generator": like}
    state, _ = checkpoint.read(folder, step, like, partial=True)
    found = state["memory"]["average"] if averaged else state["generator"]
    variables = {part: tree[direction] for part, tree in found.items()}
    return _generator(definition, variables, f"{direction} of step {step}")


def of_weights(path: Path, direction: str | None = None) -> Generator:
    """Return the generator in a file of weights, .safetensors or upstream's .pth.

    Raises:
        UserError: no such file, none of weights, no generator's, or one of the other
            direction, where the file says which it is.
    """
    variables, about = weights.load(path)
    if about["player"] != "generator":
        raise UserError(f"--weights = {path}: holds a critic; needed is a generator")
    name = about["name"]
    if direction and name and name != direction:
        raise UserError(
            f"--direction = {direction}: the generator in {path} is {name}"
        )
    return _generator(about["network"], variables, name or path.name)
