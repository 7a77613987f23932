"""Scores of a trained run: exact distances in pixel space, modes of toy sets, PSNR."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxgan import pixels
from jaxgan.data import Dataset, Pair
from jaxgan.data.formats import embedded
from jaxgan.errors import UserError, printable, unknown
from jaxgan.experiment import Experiment, translation_family
from jaxgan.experiment.feed import stack_examples
from jaxgan.files import storage
from jaxgan.inference.drawing import (
    TrainedRun,
    check_memory,
    draw_samples,
    labels_in_turn,
)
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1

NAMES = ("wasserstein", "modes", "psnr")
SEED = 0
# Data sets that come with the project, and have no folder.
BUILT_IN = ("digits", "day_night", *embedded.TOY_SETS)


def choose_scores(experiment: Experiment, given: Sequence[str] | None) -> Sequence[str]:
    """Return the names of the scores to take: those given, or else all that apply.

    Raises:
        UserError: a score is unknown, or does not apply to the data or the GAN, or none
            applies.
    """
    admitted = admitted_scores(experiment)
    where = f"{experiment.gan_name} on {experiment.data_name}"
    for name in given or ():
        if name not in NAMES:
            raise unknown("--metrics", name, NAMES)
        if name not in admitted:
            raise UserError(
                f"--metrics = {name}: not for {where}; valid: "
                f"{', '.join(admitted) or 'none'}"
            )
    if not admitted:
        raise UserError(
            f"--workdir: no score for {where}, where the truth is not known"
        )
    return given or admitted


def load_examples(run: TrainedRun, directory: str | None) -> Dataset | Pair:
    """Return the data of a run, from `directory` if it is given.

    Raises:
        UserError: the data cannot be used, is not of the run's shape, or is built in
            and has no folder.
    """
    experiment = run.experiment
    field = f"data.dir = {printable(experiment.data_dir)}"
    if directory:
        field = f"--data_dir = {printable(directory)}"
        if experiment.data_name in BUILT_IN:
            raise UserError(
                f"{field}: the run's data, {experiment.data_name}, is built in and has "
                "no folder"
            )
        path = storage.checked_path(directory, "--data_dir")
        if not path.exists():
            raise UserError(f"{field}: no such file or folder")
    examples = experiment.load_data(directory)
    if tuple(examples.shape) != run.shape:
        raise UserError(
            f"{field}: examples of shape {tuple(examples.shape)}; the run was trained "
            f"on examples of shape {run.shape}"
        )
    return examples


def score_run(
    run: TrainedRun, names: Sequence[str], num_samples: int, examples: Any
) -> dict[str, Any]:
    """Return the scores `names` of a run, and the protocol of the measurement.

    Args:
        run: at one of its checkpoints.
        names: what `choose_scores` returned.
        num_samples: how many samples to draw at most.
        examples: what `load_examples` returned.

    Raises:
        UserError: the run's samples are not finite, or `num_samples` need more memory
            than there is.
    """
    experiment = run.experiment
    weights = "EMA" if experiment.has_average else "raw"
    results: dict[str, Any] = {"step": run.step, "data": experiment.data_name}
    results |= {"weights": weights, "seed": SEED}
    if "modes" in names:
        check_memory("--num_samples", num_samples, math.prod(run.shape))
    if "wasserstein" in names:
        results |= wasserstein(run, num_samples, examples)
    if "modes" in names:
        results |= modes(run, num_samples)
    if "psnr" in names:
        results |= psnr(run, num_samples, examples)
    return results


def admitted_scores(experiment: Experiment) -> list[str]:
    """Return the names of the scores that apply to a run's GAN and data."""
    if experiment.family == "translation":
        return ["psnr"] if experiment.data_name == "day_night" else []
    has_modes = experiment.data_name in embedded.DEVIATIONS
    return ["wasserstein", "modes"] if has_modes else ["wasserstein"]


def psnr(run: TrainedRun, num_samples: int, pair: Pair) -> dict[str, Any]:
    """Return the mean PSNR in dB of translations, and of images as they are (identity).

    Both are compared with the truth, on held-out images as floats in [-1, 1] (data
    range 2).
    """
    images = translation_family.heldout_images(pair, num_samples)
    found = jax.jit(run.gan.evaluate)(run.state, images, jax.random.key(SEED))
    values = {n.removeprefix("heldout/"): float(v) for n, v in found.items()}
    if not all(map(math.isfinite, values.values())):
        raise UserError(
            "--workdir: translations by this checkpoint are not finite; give the "
            "--step of an earlier one"
        )
    return values | {"psnr_images": len(images.a)}


def wasserstein(run: TrainedRun, num_samples: int, dataset: Dataset) -> dict[str, Any]:
    """Return the exact W_1 from samples, and from real examples, to held-out examples.

    `wasserstein_real` is the distance from as many training examples to the same
    held-out examples; a perfect generator reaches this distance. Images are compared as
    vectors of pixels in [0, 1], after rounding to 8 bits as in a file. Points are
    compared as they are. `wasserstein_ratio` is None where `wasserstein_real` is 0, as
    for a data set of identical images.
    """
    count = min(num_samples, len(dataset.heldout), len(dataset.train))
    # The matrix of distances, in float64.
    check_memory("--num_samples", count, count)
    order = np.random.default_rng(SEED)
    held = order.choice(len(dataset.heldout), count, replace=False)
    trained = order.choice(len(dataset.train), count, replace=False)
    heldout = stack_examples(dataset.heldout, held)["image"]
    real = stack_examples(dataset.train, trained)["image"]
    drawn = draw_samples(run.gan, run.state, labels_in_turn(run, count), SEED)
    features = "coordinates"
    if drawn.ndim > 2:
        features = "pixels in [0, 1], no resizing"
        drawn = pixels.to_uint8(drawn, run.players().value_range)
        drawn, real, heldout = (x / 255.0 for x in (drawn, real, heldout))
    distance = wasserstein_1(drawn, heldout)
    of_real = wasserstein_1(real, heldout)
    return {
        "wasserstein": distance,
        "wasserstein_real": of_real,
        "wasserstein_ratio": distance / of_real if of_real else None,
        "wasserstein_samples": count,
        "wasserstein_features": features,
    }


def modes(run: TrainedRun, num_samples: int) -> dict[str, Any]:
    """Return the number of covered modes, and the share of samples near a mode.

    Near means within three standard deviations.
    """
    name = run.experiment.data_name
    radius = 3 * embedded.DEVIATIONS[name]
    centers = embedded.centers(name)
    labels = labels_in_turn(run, num_samples)
    drawn = draw_samples(run.gan, run.state, labels, SEED)
    covered, share = modes_covered(drawn, centers, radius)
    return {
        "modes": covered,
        "modes_total": len(centers),
        "modes_high_quality": share,
        "modes_samples": num_samples,
    }
