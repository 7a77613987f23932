"""Losses of the two players: scores -> scalar. They know no parameters and no modules.

Every loss is what is minimised: the critic's is minus its estimate of the Wasserstein
distance. Scores are [b], or patch scores [b, h, w]; a mean over all elements counts
each example alike, because every example has equally many patches.
"""

import jax.numpy as jnp
import optax
from jax import nn
from jaxtyping import Array, Float, Int


def wasserstein_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return E D(fake) - E D(real) [], which the critic minimises.

    Minus its value estimates the distance (up to the critic's Lipschitz constant):
    WGAN (arXiv 1701.07875) equation 2, Algorithm 1 line 5.

    Args:
        real_scores: [b] or [b, h, w], any real numbers: high is real.
        fake_scores: the same shape.
    """
    return jnp.mean(fake_scores) - jnp.mean(real_scores)


def wasserstein_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return -E D(fake) [], which the generator minimises (WGAN, Algorithm 1 line 10).

    `fake_scores` is [b] or [b, h, w], any real numbers.
    """
    return -jnp.mean(fake_scores)


def least_squares_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return (E (D(real) - 1)^2 + E D(fake)^2) / 2 [], >= 0; the critic minimises it.

    LSGAN (arXiv 1611.04076) equation 9 with the targets 1 and 0, as CycleGAN (arXiv
    1703.10593) section 4 has it. Scores are [b] or [b, h, w], without a sigmoid.
    """
    # The official CycleGAN code (models/cycle_gan_model.py, backward_D_basic) halves
    # the critics' loss but not the generators', to slow the critics down. With SGD it
    # does; Adam divides by the size of the gradient, so there only eps feels it.
    real = jnp.mean(jnp.square(real_scores - 1))
    return (real + jnp.mean(jnp.square(fake_scores))) / 2


def least_squares_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return E (D(fake) - 1)^2 [], >= 0, which the generator minimises.

    CycleGAN, section 4. `fake_scores` is [b] or [b, h, w], without a sigmoid.
    """
    return jnp.mean(jnp.square(fake_scores - 1))


def cross_entropy_critic(
    real_scores: Float[Array, "*b"], fake_scores: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return -(E log s(D(real)) + E log(1 - s(D(fake)))) / 2 [], s the sigmoid.

    Goodfellow et al. (arXiv 1406.2661) equation 1, halved as `vanilla` of the official
    CycleGAN code. Scores are logits [b] or [b, h, w]; the loss is >= 0, in nats.
    """
    # log s(x) = -softplus(-x) and log(1 - s(x)) = -softplus(x). Through the sigmoid
    # itself, confident scores would give log 0; softplus grows linearly.
    real = jnp.mean(nn.softplus(-real_scores))
    return (real + jnp.mean(nn.softplus(fake_scores))) / 2


def cross_entropy_generator(fake_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return -E log s(D(fake)) [], >= 0, in nats: the generator minimises it.

    The non-saturating loss (Goodfellow et al., section 3), where equation 1 itself
    would have E log(1 - s(D(fake))).
    """
    # Equation 1's gradient vanishes while the critic is sure of the fakes, which is
    # how training begins.
    return jnp.mean(nn.softplus(-fake_scores))


def mean_absolute_error(
    images: Float[Array, "*b"], others: Float[Array, "*b"]
) -> Float[Array, ""]:
    """Return the mean of |images - others| over all elements [], >= 0.

    The L1 norm of CycleGAN's cycle and identity losses (section 3.2, equation 2, and
    section 5.2), for images [b, h, w, c] in [-1, 1].
    """
    # A mean and not a sum, as torch.nn.L1Loss in the official code: the weights 10
    # and 5 hold for it, and do not depend on the size of the images. The one shape
    # `*b` of the annotations matters: [b, 1] beside [b] would broadcast to [b, b].
    return jnp.mean(jnp.abs(images - others))


def drift(real_scores: Float[Array, "*b"]) -> Float[Array, ""]:
    """Return E D(real)^2 [], >= 0, a term of the critic's loss.

    Progressive GAN (arXiv 1710.10196), appendix A.1: weight 0.001. Scores are [b] or
    [b, h, w].
    """
    # The Wasserstein loss does not change when a constant is added to all scores, so
    # nothing else keeps them from drifting away from zero.
    return jnp.mean(jnp.square(real_scores))


def classifier_cross_entropy(
    logits: Float[Array, "b classes"], labels: Int[Array, " b"]
) -> Float[Array, ""]:
    """Return the mean cross-entropy of the auxiliary classifier [], >= 0, in nats.

    AC-GAN (arXiv 1610.09585) equation 3. `labels` are in [0, classes).
    """
    # AC-GAN's equation sums it over real and generated images. The authors' code of
    # WGAN-GP (igul222/improved_wgan_training, gan_cifar_resnet.py) takes it on real
    # images for the critic and on generated ones for the generator.
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses)
