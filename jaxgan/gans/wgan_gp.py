"""WGAN-GP: Gulrajani et al., arXiv 1704.00028, Algorithm 1.

    for each generator step:
        n_critic times:
            x ~ real, z ~ p(z), e ~ U[0, 1] for each example
            x' = e x + (1 - e) G(z)
            L  = D(G(z)) - D(x) + lambda (||grad_x' D(x')||_2 - 1)^2
            w  <- Adam(grad_w E L)
        theta <- Adam(-grad_theta E D(G(z)))

Other penalties (jaxgan/penalties.py) can take the place of the last term. With classes,
the critic also learns to classify (AC-GAN), as in igul222's gan_cifar_resnet.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp

from jaxgan import losses
from jaxgan.gans.critic_passes import fakes_for_critic, make_fakes, score_both
from jaxgan.gans.players import Players, assemble, generator_loss, initial_state
from jaxgan.gradients import Loss, Outcome
from jaxgan.penalties import Penalty
from jaxgan.turns import (
    alternate,
    as_train_step,
    average_generator,
    chain,
    turn,
)
from jaxgan.types import Array, Batch, Gan, GanState, Key, Metrics, Optimizer, PyTree


def wgan_gp(
    players: Players,
    *,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    penalty: Callable[..., Penalty],
    penalty_weight: float,
    drift_weight: float = 0.0,
    critic_classifier_weight: float = 1.0,
    generator_classifier_weight: float = 0.1,
    generator_batch_multiple: int = 1,
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
    sample_batch_norm: Literal["batch", "running"] = "batch",
) -> Gan:
    """Return the WGAN with a penalty on the critic's input gradient.

    Args:
        players: both networks; the critic must not mix the examples of a batch.
        generator_optimizer: Adam(1e-4, b1=0, b2=0.9) in Algorithm 1.
        critic_optimizer: likewise.
        penalty: (score, key, real, fake, *, index) -> Penalty, of
            `jaxgan.penalties`.
        penalty_weight: lambda, 10 in the paper.
        drift_weight: weight of E D(x)^2, 0 in the paper.
        critic_classifier_weight: weight of the cross-entropy on real examples; like
            the next weight, used only with classes.
        generator_classifier_weight: weight of the cross-entropy on fakes.
        generator_batch_multiple: latents in a generator step for each example of a
            critic batch; 2 in gan_cifar_resnet.py.
        ema_decay: decay of the generator's moving average, in [0, 1); 0 keeps none.
        accumulate_steps: micro-batches that each turn splits its batch into.
        sample_batch_norm: statistics that BatchNorm uses for sampling: those of the
            'batch' (as in the authors' code) or the 'running' ones.
    """
    axis, parts = players.axis_name, accumulate_steps
    loss = critic_loss(
        players, penalty, penalty_weight, drift_weight, critic_classifier_weight
    )
    critic_turn = turn("critic", loss, critic_optimizer, axis, parts)
    generator_turn = turn(
        "generator",
        generator_loss(players, generator_batch_multiple, generator_classifier_weight),
        generator_optimizer,
        axis,
        parts,
    )
    if ema_decay:
        generator_turn = chain(generator_turn, average_generator(ema_decay))

    def init(key: Key) -> GanState:
        return initial_state(
            players, key, generator_optimizer, critic_optimizer, bool(ema_decay)
        )

    whole_turn = alternate(critic_turn, generator_turn)
    # Micro-batches are for less memory, and each has its own BatchNorm: with them, the
    # critic's turn makes its fakes itself.
    if accumulate_steps == 1:
        whole_turn = chain(make_fakes(players), whole_turn)
    step = as_train_step(whole_turn, axis)
    return assemble(players, init, step, sample_batch_norm)


def critic_loss(
    players: Players,
    penalty: Callable[..., Penalty],
    penalty_weight: float,
    drift_weight: float,
    classifier_weight: float,
) -> Loss:
    """Return the critic's loss: equation 3, plus the drift and classifier terms.

    The metrics of its terms are unweighted: `critic/wasserstein` (positive and falling
    during training), `critic/gradient_penalty`, `critic/gradient_norm` (the mean over
    the points of the penalty), and `critic/drift` if it has a weight.
    """
    # In bfloat16 the norms are too coarse for a second-order gradient. The penalty is
    # computed in the parameters' float32, whatever type the modules compute in.
    exact = players._replace(critic=players.critic.clone(dtype=None))

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        real = players.decode(batch, key)
        labels = batch["label"]
        fake = fakes_for_critic(players, state, batch, key)
        (real_scores, real_logits), (fake_scores, fake_logits), _ = score_both(
            partial(players.score, params), {}, real, fake
        )
        score = exact.score_function(params)
        # The penalty uses the fakes of the other terms: its interpolates lie between
        # the examples of those terms, and the generator needs no second pass. The
        # critic does: in one pass with the interpolates, the gradient by the input and
        # its own gradient are computed for all three times as many examples. The
        # tutorial's critic then took 2.6 times as long (CPU).
        term = penalty(score, key, real, fake, index=batch["index"])
        drift = losses.drift(real_scores)
        wasserstein_loss = losses.wasserstein_critic(real_scores, fake_scores)
        value = wasserstein_loss + penalty_weight * term.value + drift_weight * drift
        metrics = {
            "critic/wasserstein": -wasserstein_loss,
            "critic/gradient_penalty": term.value,
            "critic/gradient_norm": term.gradient_norm,
        }
        if drift_weight:
            metrics["critic/drift"] = drift
        if real_logits is not None and fake_logits is not None:
            # On real examples only: the critic does not learn classes from fakes.
            entropy = losses.classifier_cross_entropy(real_logits, labels)
            value = value + classifier_weight * entropy
            metrics |= classifier_metrics(entropy, real_logits, fake_logits, labels)
        return value, Outcome({}, {"critic/loss": value} | metrics)

    return loss


def classifier_metrics(
    entropy: Array, real_logits: Array, fake_logits: Array, labels: Array
) -> Metrics:
    """Return metrics of the critic's classifier.

    Args:
        entropy: the mean cross-entropy [] on real examples, in nats.
        real_logits: [b, classes] of real examples.
        fake_logits: [b, classes] of fakes.
        labels: int32 [b], the classes of both.

    Returns:
        `critic/classification`, and `critic/accuracy_real` and `critic/accuracy_fake`
        in [0, 1].
    """

    def accuracy(logits: Array) -> Array:
        return jnp.mean(jnp.argmax(logits, axis=-1) == labels)

    return {
        "critic/classification": entropy,
        "critic/accuracy_real": accuracy(real_logits),
        "critic/accuracy_fake": accuracy(fake_logits),
    }
