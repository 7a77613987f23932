"""Losses: scores -> scalar. They know no parameters and no modules.

The sign convention is the one that is minimised: the critic's loss is minus its
estimate of the Wasserstein distance.
"""

import jax.numpy as jnp
import optax
from jax import nn
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


def least_squares_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return (E (D(real) - 1)^2 + E D(fake)^2) / 2, which the critic minimises.

    LSGAN (arXiv 1611.04076) equation 9, as CycleGAN (arXiv 1703.10593) section 4 has
    it; the half is upstream's, which slows the critic down.
    """
    return (jnp.mean(jnp.square(real_scores - 1)) + drift(fake_scores)) / 2


def least_squares_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return E (D(fake) - 1)^2, which the generator minimises (as above)."""
    return jnp.mean(jnp.square(fake_scores - 1))


def cross_entropy_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return -(E log s(D(real)) + E log(1 - s(D(fake)))) / 2, s the sigmoid.

    Goodfellow et al. (arXiv 1406.2661) equation 1, as upstream's `vanilla`: halved.
    """
    real = jnp.mean(nn.softplus(-real_scores))
    return (real + jnp.mean(nn.softplus(fake_scores))) / 2


def cross_entropy_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return -E log s(D(fake)): the generator's non-saturating loss (as above)."""
    return jnp.mean(nn.softplus(-fake_scores))


def mean_absolute_error(
    images: Float[Array, "*b"], others: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return the mean of |images - others| over all elements.

    The L1 norm of CycleGAN's cycle and identity losses (section 3.2, equation 2, and
    section 5.2), as a mean and not a sum.
    """
    return jnp.mean(jnp.abs(images - others))


def psnr(
    images: Float[Array, "b h w c"], others: Float[Array, "b h w c"]
) -> Float[Array, ""]:
    """Return the mean over pairs of 10 log10(2^2 / mean squared difference), in dB.

    The peak signal-to-noise ratio of images in [-1, 1], whose range is 2.
    """
    squares = jnp.mean(jnp.square(images - others), axis=(1, 2, 3))
    return jnp.mean(10 * jnp.log10(4 / jnp.maximum(squares, 1e-10)))


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
