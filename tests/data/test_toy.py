"""WGAN-GP learns the ring of eight Gaussians, measured by exact distances."""

import jax
import numpy as np

from configs.wgan_gp import get_config
from jaxgan.data.formats import embedded
from jaxgan.experiment.experiment import build
from jaxgan.inference.sampling import TrainedRun, draw_samples
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1
from jaxgan.runtime import devices

STEPS = 2000


def trained():
    """Train the toy recipe, narrower and faster, and return dataset and samples."""
    config = get_config("toy")
    config.generator.hidden = config.critic.hidden = (64, 64, 64)
    config.gan.penalty_weight = 1.0
    config.data.batch_size = 128
    for player in ("generator", "critic"):
        config.optimizer[player].learning_rate = 2e-3
        config.optimizer[player].decay_steps = STEPS
    experiment = build(config)
    dataset = experiment.load_data()
    feed = experiment.feed(dataset)
    gan = experiment.gan(feed.shape)
    key = jax.random.key(experiment.seed)
    state = jax.jit(gan.init)(key)
    train_steps = devices.compile_steps(gan, jax.devices()[:1])
    calls = [range(first, first + 100) for first in range(0, STEPS, 100)]
    for batch in feed.batches(calls):
        state, _ = train_steps(state, batch, key)
    run = TrainedRun(experiment, gan, state, STEPS, feed.shape, num_classes=0)
    return dataset, draw_samples(run, np.zeros(2500, np.int32), seed=0)


def test_all_modes_are_found_and_the_distance_is_that_of_real_samples():
    dataset, samples = trained()
    centers = embedded.centers("8gaussians")
    radius = 3 * embedded.DEVIATIONS["8gaussians"]
    covered, share = modes_covered(samples, centers, radius)
    assert covered == 8
    assert share > 0.5
    heldout = dataset.heldout.images[:1000]
    distance = wasserstein_1(samples[:1000], heldout)
    of_real = wasserstein_1(dataset.train.images[:1000], heldout)
    # Untrained, the ratio is about 14; two real samples of 1,000 points have 1.
    assert distance < 2 * of_real
