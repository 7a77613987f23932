"""Losses: scores -> scalar. They know no parameters and no modules.

The sign convention is the one that is minimised: the critic's loss is minus its
estimate of the Wasserstein distance.
"""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def wasserstein_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return E D(fake) - E D(real), which the critic minimises.

    Minus its value estimates the distance (up to the critic's Lipschitz constant):
    WGAN (arXiv 1701.07875) equation 2, Algorithm 1 line 5.
    """
    return jnp.mean(fake_scores) - jnp.mean(real_scores)


def wasserstein_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return -E D(fake), which the generator minimises (WGAN, Algorithm 1 line 10)."""
    return -jnp.mean(fake_scores)


def drift(real_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return E D(real)^2, which keeps the critic's free constant near zero.

    Progressive GAN (arXiv 1710.10196), appendix A.1: weight 0.001.
    """
    return jnp.mean(jnp.square(real_scores))


def classification(
    logits: Float[Array, "b classes"], labels: Int[Array, " b"]
) -> Float[Array, ""]:
    """Return the mean cross-entropy of the auxiliary classifier, in nats.

    AC-GAN (arXiv 1610.09585) equation 3; igul222's gan_cifar_resnet.py takes it on
    real images for the critic and on generated ones for the generator.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses)
