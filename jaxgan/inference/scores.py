"""Scores of a trained run: exact distances in pixel space, modes of toy sets, PSNR."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, pixels
from jaxgan.data.formats import embedded
from jaxgan.errors import UserError, unknown
from jaxgan.experiment import build, previews
from jaxgan.inference.sampling import TrainedRun
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1

NAMES = ("wasserstein", "modes", "psnr")
SEED = 0


def score(
    run: TrainedRun, names: list[str], num_samples: int, examples: Any
) -> dict[str, Any]:
    """Return the scores `names` of a run, with the protocol they were taken by.

    `examples` are what `examples` returned for the run's config.

    Raises:
        UserError: an unknown score, or one that the data or the GAN does not admit.
    """
    admitted = names_for(run.config)
    for name in names:
        if name not in NAMES:
            raise unknown("--metrics", name, NAMES)
        if name not in admitted:
            raise UserError(
                f"--metrics = {name}: not for {run.config.gan.name} on "
                f"{run.config.data.name}; valid: {', '.join(admitted) or 'none'}"
            )
    weights = "EMA" if run.config.gan.ema_decay else "raw"
    results: dict[str, Any] = {"step": run.step, "data": run.config.data.name}
    results |= {"weights": weights, "seed": SEED}
    if "wasserstein" in names:
        results |= wasserstein(run, num_samples, examples)
    if "modes" in names:
        results |= modes(run, num_samples)
    if "psnr" in names:
        results |= psnr(run, num_samples, examples)
    return results


def names_for(config: ConfigDict) -> list[str]:
    """Return the scores that a run's GAN and data admit."""
    if config.gan.name == "cyclegan":
        return ["psnr"] if config.data.name == "day_night" else []
    known = config.data.name in embedded.DEVIATIONS
    return ["wasserstein", "modes"] if known else ["wasserstein"]


def examples(config: ConfigDict) -> Any:
    """Return the examples that a run is scored on: a Dataset, or a CycleGAN's Pair."""
    cyclegan = config.gan.name == "cyclegan"
    return build.pair(config) if cyclegan else build.dataset(config)


def psnr(run: TrainedRun, num_samples: int, pair: data.Pair) -> dict[str, Any]:
    """Return the mean PSNR in dB of translations against the truth, and of identity.

    Of held-out images, as floats in [-1, 1] (data range 2).
    """
    batch = previews.heldout_pair(pair, num_samples)
    found = jax.jit(run.gan.evaluate)(run.state, batch, jax.random.key(SEED))
    values = {n.removeprefix("heldout/"): float(v) for n, v in found.items()}
    return values | {"psnr_images": len(batch["a"])}


def draw(run: TrainedRun, count: int) -> np.ndarray:
    """Return samples [count, *shape] as floats."""
    labels = previews.sample_labels(run.config, run.num_classes, count)
    return previews.draw_many(run.gan, run.state, labels, SEED)


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
    heldout = previews.stack(dataset.heldout, held)["image"]
    real = previews.stack(dataset.train, trained)["image"]
    drawn = draw(run, count)
    features = "coordinates"
    if drawn.ndim > 2:
        features = "pixels in [0, 1], no resizing"
        drawn = pixels.to_uint8(drawn, run.config.data.value_range)
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
    radius = 3 * embedded.DEVIATIONS[name]
    centers = embedded.centers(name)
    covered, share = modes_covered(draw(run, num_samples), centers, radius)
    return {
        "modes": covered,
        "modes_total": len(centers),
        "modes_high_quality": share,
        "modes_samples": num_samples,
    }
