"""Training of WGAN-GP on the ring of eight Gaussians, measured by exact distances."""

import jax
import numpy as np

from configs.wgan_gp import get_config
from jaxgan import data
from jaxgan.data.formats import embedded
from jaxgan.experiment import build, latent_family
from jaxgan.inference.drawing import draw_samples
from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1
from jaxgan.runtime import devices

STEPS = 2000


def trained():
    """Train a narrower and faster toy recipe; return the data set and samples."""
    config = get_config("toy")
    config.generator.hidden = config.critic.hidden = (64, 64, 64)
    config.gan.penalty_weight = 1.0
    config.data.batch_size = 128
    for player in ("generator", "critic"):
        config.optimizer[player].learning_rate = 2e-3
        config.optimizer[player].decay_steps = STEPS
    experiment = build(config)
    dataset = experiment.load_data()
    gan = experiment.gan(dataset.shape)
    plan = latent_family.make_plan(experiment.values, len(dataset.train))
    key = jax.random.key(config.train.seed)
    state = jax.jit(gan.init)(key)
    train_steps = devices.compile_steps(gan, jax.devices()[:1])
    calls = [range(first, first + 100) for first in range(0, STEPS, 100)]
    for batch in data.batches(dataset.train, plan, calls):
        state, _ = train_steps(state, batch, key)
    labels = np.zeros(2500, np.int32)
    return dataset, draw_samples(gan, state, labels, seed=0)


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
