"""A generator of a run or of a weights file, applied to image files of any size."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxgan.errors import UserError
from jaxgan.files import image_files
from jaxgan.files.image_files import Picture
from jaxgan.inference import trained
from jaxgan.models import translation
from jaxgan.runtime import precision
from jaxgan.types import PyTree
from jaxgan.weights import network_files

Say = Callable[[str], None]

# A ResNet's blocks reflect by one pixel at a quarter of the size, which needs two.
SMALLEST_SIDE = 8


class Generator(NamedTuple):
    """A trained generator.

    Attributes:
        module: images [b, h, w, channels] -> images of the same shape.
        variables: its 'params' and 'batch_stats'.
        channels: 1 or 3.
        multiple: what both sides of its images have to be a multiple of.
        title: which one it is, for people.
    """

    module: nn.Module
    variables: PyTree
    channels: int
    multiple: int
    title: str


class Outcome(NamedTuple):
    """What came of the images.

    Attributes:
        done: how many were translated.
        failed: a line for each that could not be, with its name.
        notes: what to know about which images.
    """

    done: int
    failed: list[str]
    notes: dict[str, list[Path]]


def of_run(workdir: Path, direction: str, step: int | None = None) -> Generator:
    """Return a generator of the run in `workdir`, by default of its newest checkpoint.

    Raises:
        UserError: no run of a CycleGAN, no such checkpoint, or a damaged one.
    """
    variables, about, step = trained.network(workdir, direction, step)
    return _generator(about["network"], variables, f"{direction} of step {step}")


def of_weights(path: Path, direction: str | None = None) -> Generator:
    """Return the generator in a file of weights, .safetensors or upstream's .pth.

    Raises:
        UserError: no such file, no generator's, or one of the other direction, where
            the file says which it is.
    """
    variables, about = network_files.load(path)
    name = about["name"]
    if about["player"] != "generator":
        raise UserError(f"--weights = {path}: a critic's; must be a generator's")
    if direction and name and name != direction:
        raise UserError(f"--direction = {direction}: --weights = {path} holds {name}")
    return _generator(about["network"], variables, name or path.name)


def _generator(definition: dict[str, Any], variables: PyTree, title: str) -> Generator:
    channels = definition["channels"]
    if channels not in (1, 3):
        raise UserError(f"{title}: takes images of {channels} channels; must be 1 or 3")
    # In full float32, whatever it was trained in: 8 bits and more are to be kept.
    precision.configure("float32", deterministic=False)
    module = translation.generator(**definition)
    multiple = translation.side_multiple(definition["name"])
    return Generator(module, jax.device_put(variables), channels, multiple, title)


class Translation:
    """A generator as a function of images of any size, compiled once for each size."""

    def __init__(self, generator: Generator, say: Say):
        self.generator, self.say = generator, say
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}

    def __call__(self, picture: Picture) -> Picture:
        """Return the translation, of the same size and bits, gray or RGB as trained.

        Raises:
            UserError: the image is too large, or the network's output not finite.
        """
        given = image_files.with_channels(picture, self.generator.channels)
        floats = self.translate(image_files.to_floats(given.pixels))
        if not np.isfinite(floats).all():
            raise UserError("the network's output is not finite")
        pixels = image_files.to_pixels(floats, given.pixels.dtype)
        return given._replace(pixels=pixels)

    def translate(self, images: np.ndarray) -> np.ndarray:
        """Return G(image) for an image float32 [h, w, c] in [-1, 1] of any size.

        Sides that the network cannot take are continued by reflection on the right
        and at the bottom, and the translation is cut to the image again. The
        statistics of InstanceNorm are those of the whole image: no tiles, no seams.
        """
        height, width, _ = images.shape
        padded = continued(images, self.generator.multiple)[None]
        try:
            apply = self._compiled.get(padded.shape) or self._compile(padded.shape)
            made = np.asarray(apply(self.generator.variables, padded))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise _too_large(width, height) from error
        return made[0, :height, :width]

    def _compile(self, shape: tuple[int, ...]) -> Callable[..., Any]:
        _, height, width, _ = shape
        self.say(f"compiling for images of {width} x {height} pixels")
        module = self.generator.module
        apply = jax.jit(lambda variables, x: module.apply(variables, x, train=False))
        example = jax.ShapeDtypeStruct(shape, jnp.float32)
        compiled = apply.lower(self.generator.variables, example).compile()
        if jax.default_backend() == "cpu":
            # Asked first, because Linux ends a process that takes too much unheard.
            # XLA leaves out what convolutions take: 2.6 times as much was measured.
            analysis: Any = compiled.memory_analysis()
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if 2 * analysis.temp_size_in_bytes > memory:
                raise _too_large(width, height)
        self._compiled[shape] = compiled
        return compiled


def continued(images: np.ndarray, multiple: int) -> np.ndarray:
    """Continue an image [h, w, c] by reflection until its sides are multiples.

    On the right and at the bottom; over and over where it is smaller than what it is
    continued by. Both sides are SMALLEST_SIDE at least.
    """
    sides = [
        max(SMALLEST_SIDE, -(-side // multiple) * multiple) for side in images.shape[:2]
    ]
    more = [(0, new - old) for new, old in zip(sides, images.shape, strict=False)]
    return np.pad(images, [*more, (0, 0)], mode="reflect")


def _too_large(width: int, height: int) -> UserError:
    return UserError(
        f"{width} x {height} pixels need more memory than there is; make it smaller"
    )


def translate_files(
    translation: Callable[[Picture], Picture],
    targets: Mapping[Path, Path],
    advance: Callable[[], None],
    stopped: Callable[[], bool],
) -> Outcome:
    """Translate image files one after the other, each into its target.

    A file that cannot be read or translated is passed over, and named in the outcome.
    """
    done, failed = 0, []
    notes: dict[str, list[Path]] = {}
    for path, target in targets.items():
        if stopped():
            break
        try:
            made = translation(image_files.read(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            image_files.write(target, made)
        except UserError as error:
            reason = str(error)
            failed.append(reason if str(path) in reason else f"{path}: {reason}")
        else:
            done += 1
            for note in made.notes:
                notes.setdefault(note, []).append(path)
        advance()
    return Outcome(done, failed, notes)
