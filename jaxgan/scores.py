"""Scores of a trained run: exact distances in pixel space, and modes of toy sets."""

from typing import Any

import numpy as np

from jaxgan import data, evaluation, images
from jaxgan.data import embedded
from jaxgan.errors import UserError, unknown
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1
from jaxgan.sampling import TrainedRun

NAMES = ("wasserstein", "modes")
SEED = 0


def score(
    run: TrainedRun, names: list[str], num_samples: int, dataset: data.Dataset
) -> dict[str, Any]:
    """Return the scores `names` of a run, with the protocol they were taken by.

    Raises:
        UserError: an unknown score, or `modes` for data without known modes.
    """
    for name in names:
        if name not in NAMES:
            raise unknown("--metrics", name, NAMES)
    weights = "EMA" if run.config.gan.ema_decay else "raw"
    results: dict[str, Any] = {"step": run.step, "data": run.config.data.name}
    results |= {"weights": weights, "seed": SEED}
    if "wasserstein" in names:
        results |= wasserstein(run, num_samples, dataset)
    if "modes" in names:
        results |= modes(run, num_samples)
    return results


def draw(run: TrainedRun, count: int) -> np.ndarray:
    """Return samples [count, *shape] as floats."""
    labels = evaluation.sample_labels(run.config, run.num_classes, count)
    return evaluation.draw_many(run.gan, run.state, labels, SEED)


def wasserstein(
    run: TrainedRun, num_samples: int, dataset: data.Dataset
) -> dict[str, Any]:
    """Return the exact W_1 from samples to held-out examples, and that of real ones.

    `wasserstein_real` is the distance of as many training examples to the same
    held-out ones: what a perfect generator reaches. Images are compared as vectors of
    pixels in [0, 1], of what is written to a file; points as they are.
    """
    count = min(num_samples, len(dataset.heldout), len(dataset.train))
    order = np.random.default_rng(SEED)
    held = order.choice(len(dataset.heldout), count, replace=False)
    trained = order.choice(len(dataset.train), count, replace=False)
    heldout = evaluation.stack(dataset.heldout, held)["image"]
    real = evaluation.stack(dataset.train, trained)["image"]
    drawn = draw(run, count)
    features = "coordinates"
    if drawn.ndim > 2:
        features = "pixels in [0, 1], no resizing"
        drawn = images.encode(drawn, run.config.data.value_range)
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
    """Return the modes covered and the share of samples within three deviations."""
    name = run.config.data.name
    if name not in embedded.DEVIATIONS:
        valid = ", ".join(embedded.DEVIATIONS)
        raise UserError(
            f"--metrics = modes: data.name = {name} has no known modes; valid: {valid}"
        )
    radius = 3 * embedded.DEVIATIONS[name]
    centers = embedded.centers(name)
    covered, share = modes_covered(draw(run, num_samples), centers, radius)
    return {
        "modes": covered,
        "modes_total": len(centers),
        "modes_high_quality": share,
        "modes_samples": num_samples,
    }


def default_names(run: TrainedRun) -> list[str]:
    """Return the scores that the run's data admits."""
    known = run.config.data.name in embedded.DEVIATIONS
    return ["wasserstein", "modes"] if known else ["wasserstein"]
