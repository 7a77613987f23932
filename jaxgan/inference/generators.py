"""Translation of image files of any size by a trained generator."""

import errno
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
from jaxgan.weights import network_files, official_keys

Say = Callable[[str], None]

# The blocks of a ResNet work at a quarter of the image's side and pad by one reflected
# pixel, which needs a side of at least two pixels there.
SMALLEST_SIDE = 8
# Errors of one file's name that the file system of the output does not take. The other
# files can still be written, unlike on a full or read-only disk.
NAME_REFUSED = (
    errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTDIR,
)  # fmt: skip


class TrainedGenerator(NamedTuple):
    """A trained generator.

    Attributes:
        module: Linen module, images [b, h, w, channels] -> images of the same size,
            gray or RGB.
        variables: its 'params' and 'batch_stats'.
        channels: of the images that it takes, 1 (gray) or 3 (RGB).
        multiple: both sides of an image must be multiples of this number of pixels.
        title: which generator it is, for messages.
    """

    module: nn.Module
    variables: PyTree
    channels: int
    multiple: int
    title: str


class TranslationReport(NamedTuple):
    """The result of translating image files.

    Attributes:
        done: number of images that were translated.
        failed: one line for each image that was not translated, with its name and the
            reason.
        notes: remark -> the images that it is about.
    """

    done: int
    failed: list[str]
    notes: dict[str, list[Path]]


def load_from_run(
    workdir: Path, direction: str, step: int | None = None
) -> TrainedGenerator:
    """Return a generator of the run in `workdir`.

    Args:
        workdir: folder of the run.
        direction: 'a2b' or 'b2a'.
        step: step of the checkpoint; None is the newest undamaged one.

    Raises:
        UserError: the run is not a CycleGAN's, there is no such checkpoint, or it is
            damaged.
    """
    variables, about, step = trained.network(workdir, direction, step)
    return _generator(about, variables, f"{direction} of step {step}")


def load_from_file(path: Path, direction: str | None = None) -> TrainedGenerator:
    """Return the generator in a file of weights.

    Args:
        path: a .safetensors file, or a .pth file of the official code.
        direction: 'a2b' or 'b2a', checked if the file says which one it holds.

    Raises:
        UserError: there is no such file, it holds no generator, or it holds the
            generator of the other direction.
    """
    variables, about = network_files.load(path)
    name = about["name"]
    if about["player"] != "generator":
        raise UserError(f"--weights = {path}: holds a critic; must hold a generator")
    if direction and name and name != direction:
        raise UserError(f"--direction = {direction}: --weights = {path} holds {name}")
    return _generator(about, variables, name or path.name)


def _generator(
    about: dict[str, Any], variables: PyTree, title: str
) -> TrainedGenerator:
    definition = about["network"]
    channels = official_keys.input_channels(definition)
    for does, number in (("takes", channels), ("makes", definition["channels"])):
        if number not in (1, 3):
            raise UserError(
                f"{title}: {does} images of {number} channels; must be 1 or 3"
            )
    # Always float32, even after training in a lower precision, to keep the 8 or 16 bits
    # of an image.
    precision.configure("float32", deterministic=False)
    module = network_files.module(about)
    multiple = translation.side_multiple(definition["name"])
    return TrainedGenerator(
        module, jax.device_put(variables), channels, multiple, title
    )


class Translator:
    """A generator as a function of images of any size, compiled once for each size."""

    def __init__(self, generator: TrainedGenerator, say: Say) -> None:
        self.generator, self.say = generator, say
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}

    def __call__(self, picture: Picture) -> Picture:
        """Return the translation of a picture, of the same size and bit depth.

        It is gray or RGB, depending on the generator. It keeps the colour profile if
        the generator takes and makes the same number of channels.

        Raises:
            UserError: the image needs too much memory, or the output is not finite.
        """
        given = image_files.with_channels(picture, self.generator.channels)
        floats = self.translate(image_files.to_floats(given.pixels))
        if not np.isfinite(floats).all():
            raise UserError("the network's output is not finite")
        pixels = image_files.to_pixels(floats, given.pixels.dtype)
        # A profile describes the channels of the image that it came with.
        kept = given.profile if pixels.shape == given.pixels.shape else None
        return given._replace(pixels=pixels, profile=kept)

    def translate(self, image: np.ndarray) -> np.ndarray:
        """Return G(image) for one image; both are float32 [h, w, c] in [-1, 1].

        The generator determines both numbers of channels c.

        An image of any size is padded to one that the network takes (see
        `pad_by_reflection`), and its translation is cropped to the original size. The
        image is never cut into tiles, because InstanceNorm takes its statistics over
        the whole image and tiles would show seams.

        Raises:
            UserError: the image needs too much memory.
        """
        height, width, _ = image.shape
        padded = pad_by_reflection(image, self.generator.multiple)[None]
        try:
            apply = self._compiled.get(padded.shape) or self._compile(padded.shape)
            made = np.asarray(apply(self.generator.variables, padded))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise _out_of_memory(width, height) from error
        return made[0, :height, :width]

    def _compile(self, shape: tuple[int, ...]) -> Callable[..., Any]:
        """Compile the generator for images of a shape; raises UserError."""
        _, height, width, _ = shape
        self.say(f"compiling for images of {width} x {height} pixels")
        module = self.generator.module
        apply = jax.jit(lambda variables, x: module.apply(variables, x, train=False))
        example = jax.ShapeDtypeStruct(shape, jnp.float32)
        compiled = apply.lower(self.generator.variables, example).compile()
        if jax.default_backend() == "cpu":
            # Checked before the generator runs, because Linux gives no message when it
            # kills a process that is out of memory. XLA's figure leaves out the
            # workspace of convolutions: the measured use was up to 2.6 times the
            # figure, so twice the figure is certainly needed.
            analysis: Any = compiled.memory_analysis()
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if 2 * analysis.temp_size_in_bytes > memory:
                raise _out_of_memory(width, height)
        self._compiled[shape] = compiled
        return compiled


def pad_by_reflection(image: np.ndarray, multiple: int) -> np.ndarray:
    """Return an image [h, w, c] padded on the right and at the bottom by reflection.

    Each side becomes the next multiple of `multiple`, and at least SMALLEST_SIDE. An
    image that is smaller than its padding is reflected repeatedly.
    """
    sides = [
        max(SMALLEST_SIDE, -(-side // multiple) * multiple) for side in image.shape[:2]
    ]
    padding = [(0, new - old) for new, old in zip(sides, image.shape, strict=False)]
    return np.pad(image, [*padding, (0, 0)], mode="reflect")


def _out_of_memory(width: int, height: int) -> UserError:
    return UserError(
        f"{width} x {height} pixels need more memory than there is; make the image "
        "smaller"
    )


def translate_files(
    translate: Callable[[Picture], Picture],
    targets: Mapping[Path, Path],
    advance: Callable[[], None],
    should_stop: Callable[[], bool],
) -> TranslationReport:
    """Translate image files one after another, each into its target file.

    A file that cannot be read or translated is skipped, and named in the report.

    Args:
        translate: picture -> picture; raises UserError.
        targets: image file -> the file to write.
        advance: called after each image.
        should_stop: asked before each image.
    """
    done, failed = 0, []
    notes: dict[str, list[Path]] = {}
    for path, target in targets.items():
        if should_stop():
            break
        try:
            made = translate(image_files.read(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            image_files.write(target, made)
        except UserError as error:
            reason = str(error)
            failed.append(reason if str(path) in reason else f"{path}: {reason}")
        except OSError as error:
            if error.errno not in NAME_REFUSED:
                raise
            failed.append(f"{path}: cannot be written as {target}: {error.strerror}")
        else:
            done += 1
            for note in made.notes:
                notes.setdefault(note, []).append(path)
        advance()
    return TranslationReport(done, failed, notes)
