"""Samples of a trained run; only its workdir is needed."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import keys
from jaxgan.data.memory import check_fits, total_memory
from jaxgan.errors import UserError, printable
from jaxgan.experiment import Experiment, stored
from jaxgan.experiment.latent_family import classes_in_turn
from jaxgan.gans.players import Players
from jaxgan.runtime import precision
from jaxgan.types import Array, Gan, GanState, LatentInputs
from jaxgan.workdir import checkpoint_files

STEPS_OF_A_ROW = 8
# Each number of a sample is held as float32 twice, and as uint8 in a picture, in a copy
# of it and in its file.
BYTES_OF_A_NUMBER = 12
INTERPOLATED_AT_ONCE = 64


class TrainedRun(NamedTuple):
    """A run's experiment, functions and state at one checkpoint.

    Attributes:
        experiment: what the run's config asks for.
        gan: the run's GAN, as functions.
        state: the state of the checkpoint.
        step: the checkpoint's step.
        shape: shape of one example.
        num_classes: number of classes in the data set; 0 without labels.
    """

    experiment: Experiment
    gan: Gan
    state: GanState
    step: int
    shape: tuple[int, ...]
    num_classes: int

    def players(self) -> Players:
        """Return the networks of a GAN that draws from latents; raises UserError."""
        networks = self.experiment.networks(self.shape, self.num_classes)
        if not isinstance(networks, Players):
            raise UserError(
                f"--workdir: a {self.experiment.gan_name} translates images and draws "
                "no samples; use python -m jaxgan.translate"
            )
        return networks


def load_run(workdir: Path, step: int | None = None) -> TrainedRun:
    """Return the run in `workdir` at `step`, or at its newest sound checkpoint.

    The data set is not needed: its shape is stored with the checkpoint.

    Raises:
        UserError: there is no run or no such checkpoint, or the checkpoint is damaged.
    """
    experiment = stored.load(workdir)
    precision.configure(experiment.precision, experiment.deterministic)
    folder = workdir / "checkpoints"
    step = checkpoint_files.sound_step(folder, step)
    loop = checkpoint_files.read_loop(folder, step)
    shape, num_classes = tuple(loop["shape"]), loop["num_classes"]
    gan = experiment.gan(shape, num_classes)
    like = jax.eval_shape(gan.init, jax.random.key(0))
    state, _ = checkpoint_files.read(folder, step, like)
    return TrainedRun(experiment, gan, jax.device_put(state), step, shape, num_classes)


def draw_samples(
    gan: Gan, state: GanState, labels: np.ndarray, seed: int, batch_size: int = 64
) -> np.ndarray:
    """Return samples as floats [n, *shape], one for each of the labels int32 [n].

    They are drawn in batches of `batch_size`. Every batch is full, so that with batch
    statistics all samples are normalised over batches of equal size; surplus samples
    are dropped.

    Raises:
        UserError: a sample is not finite.
    """
    sample = jax.jit(gan.sample)
    padded = np.resize(labels, -(-len(labels) // batch_size) * batch_size)
    drawn = []
    for first in range(0, len(padded), batch_size):
        key = jax.random.fold_in(jax.random.key(seed), first)
        inputs = LatentInputs(padded[first : first + batch_size])
        made = sample(state, inputs, jax.random.fold_in(key, keys.SAMPLES))
        drawn.append(np.asarray(made["samples"]))
    return _finite(np.concatenate(drawn)[: len(labels)])


def _finite(drawn: np.ndarray) -> np.ndarray:
    """Return samples; raises UserError if one is not finite."""
    bad = ~np.isfinite(drawn.reshape(len(drawn), -1)).all(axis=1)
    if bad.any():
        raise UserError(
            f"--workdir: {bad.sum():,} of {len(drawn):,} samples of its checkpoint are "
            "not finite; give the --step of an earlier one"
        )
    return drawn


def check_memory(field: str, count: int, numbers: int) -> None:
    """Raise UserError if `count` samples need more memory than there is.

    `numbers` is how many numbers one sample has, or one cell of a picture.
    """
    needed = count * numbers * BYTES_OF_A_NUMBER
    most = int(total_memory() / needed * count)
    check_fits(needed, f"{field} = {count}", f"at most {most:,} fit", "the samples")


def labels_in_turn(run: TrainedRun, count: int) -> np.ndarray:
    """Return labels int32 [count]: the run's classes in turn; zeros without classes."""
    return classes_in_turn(run.players().num_classes, count)


def parse_labels(
    run: TrainedRun, texts: Sequence[str] | None, count: int
) -> np.ndarray:
    """Return labels int32 [count] from the texts of --labels; raises UserError."""
    if texts is None:
        return labels_in_turn(run, count)
    num_classes = run.players().num_classes
    if not num_classes:
        given = printable(",".join(texts))
        raise UserError(f"--labels = {given}: the model is not conditional")
    last = num_classes - 1
    for text in texts:
        if not re.fullmatch("[0-9]{1,9}", text.strip()) or int(text) > last:
            raise UserError(
                f"--labels = {printable(text)}: must be a class from 0 to {last}"
            )
    return np.resize(np.array([int(t) for t in texts], np.int32), count)


def draw_interpolations(
    run: TrainedRun, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples [n, *shape], in rows of eight between two latents, and labels [n].

    Each row has one label, taken from `labels` in turn. n is the number of `labels`,
    rounded up to whole rows.
    """
    players = run.players()
    rows = -(-len(labels) // STEPS_OF_A_ROW)
    key = jax.random.key(seed)
    ends = players.draw_latents(key, jnp.arange(2 * rows)).reshape(2, rows, -1)
    fractions = jnp.linspace(0.0, 1.0, STEPS_OF_A_ROW)
    between = great_circle if players.latent == "normal" else straight_line
    latents = jax.vmap(lambda t: between(ends[0], ends[1], t))(fractions)
    latents = latents.swapaxes(0, 1).reshape(rows * STEPS_OF_A_ROW, -1)
    row_labels = np.repeat(np.resize(labels, rows), STEPS_OF_A_ROW)
    sample, drawn = jax.jit(run.gan.sample), []
    # Never all at once: a thousand rows would not fit a device's memory.
    for first in range(0, len(latents), INTERPOLATED_AT_ONCE):
        part = slice(first, first + INTERPOLATED_AT_ONCE)
        inputs = LatentInputs(row_labels[part], latents[part])
        drawn.append(np.asarray(sample(run.state, inputs, key)["samples"]))
    return _finite(np.concatenate(drawn)), row_labels


def straight_line(start: Array, end: Array, fraction: Array) -> Array:
    """Return start + fraction * (end - start) [..., z], for uniform latents."""
    return start + fraction * (end - start)


def great_circle(start: Array, end: Array, fraction: Array) -> Array:
    """Return the spherical interpolation [..., z], which keeps a Gaussian's norms.

    White, arXiv 1609.04468, section 2.
    """

    def unit(x: Array) -> Array:
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

    cosine = jnp.sum(unit(start) * unit(end), axis=-1, keepdims=True)
    # Clipped away from +-1, where the sine below would be zero.
    angle = jnp.arccos(jnp.clip(cosine, -1 + 1e-6, 1 - 1e-6))
    weights = jnp.sin((1 - fraction) * angle), jnp.sin(fraction * angle)
    return (weights[0] * start + weights[1] * end) / jnp.sin(angle)
