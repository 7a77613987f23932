"""Scores of a trained run: exact distances in pixel space, modes of toy sets, PSNR."""

from typing import Any

import jax
import numpy as np

from jaxgan import pixels
from jaxgan.data import Dataset, Pair
from jaxgan.data.formats import embedded
from jaxgan.errors import UserError, unknown
from jaxgan.experiment import Experiment, translation_family
from jaxgan.experiment.feed import stack_examples
from jaxgan.inference.drawing import (
    TrainedRun,
    check_count,
    draw_samples,
    labels_in_turn,
)
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1

NAMES = ("wasserstein", "modes", "psnr")
SEED = 0


def score_run(
    run: TrainedRun, names: list[str], num_samples: int, examples: Any
) -> dict[str, Any]:
    """Return the scores `names` of a run, and the protocol of the measurement.

    `examples` is what the run's `Experiment.load_data` returned.

    Raises:
        UserError: a score is unknown, or does not apply to the data or the GAN.
    """
    experiment = run.experiment
    admitted = admitted_scores(experiment)
    for name in names:
        if name not in NAMES:
            raise unknown("--metrics", name, NAMES)
        if name not in admitted:
            raise UserError(
                f"--metrics = {name}: not for {experiment.gan_name} on "
                f"{experiment.data_name}; valid: {', '.join(admitted) or 'none'}"
            )
    weights = "EMA" if experiment.has_average else "raw"
    results: dict[str, Any] = {"step": run.step, "data": experiment.data_name}
    results |= {"weights": weights, "seed": SEED}
    if "modes" in names:
        check_count(run, "--num_samples", num_samples)
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
    return values | {"psnr_images": len(images.a)}


def wasserstein(run: TrainedRun, num_samples: int, dataset: Dataset) -> dict[str, Any]:
    """Return the exact W_1 from samples, and from real examples, to held-out examples.

    `wasserstein_real` is the distance from as many training examples to the same
    held-out examples; a perfect generator reaches this distance. Images are compared as
    vectors of pixels in [0, 1], after rounding to 8 bits as in a file. Points are
    compared as they are.
    """
    count = min(num_samples, len(dataset.heldout), len(dataset.train))
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
        "wasserstein_ratio": distance / of_real,
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
