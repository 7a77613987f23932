"""WGAN-GP: Gulrajani et al., arXiv 1704.00028, Algorithm 1.

    for each generator step:
        n_critic times:
            x ~ real, z ~ p(z), e ~ U[0, 1] for each example
            x' = e x + (1 - e) G(z)
            L  = D(G(z)) - D(x) + lambda (||grad_x' D(x')||_2 - 1)^2
            w  <- Adam(grad_w E L)
        theta <- Adam(-grad_theta E D(G(z)))

Other penalties take the place of the last term. With classes, the critic also learns
to tell them (AC-GAN), as igul222's gan_cifar_resnet.py does.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from jaxgan import losses
from jaxgan.gans.players import Players, assemble, generator_loss, initial_state
from jaxgan.penalties import Penalty
from jaxgan.turns import (
    Loss,
    Outcome,
    alternate,
    as_train_step,
    average_generator,
    chain,
    generator_variables,
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
        players: both networks; the critic must not mix examples.
        generator_optimizer: Adam(1e-4, b1=0, b2=0.9) in Algorithm 1.
        critic_optimizer: likewise.
        penalty: (score, key, real, fake) -> Penalty, of `jaxgan.penalties`.
        penalty_weight: lambda, 10 in the paper.
        drift_weight: of E D(x)^2, 0 in the paper.
        critic_classifier_weight: of the cross-entropy on real examples; used with
            classes alone.
        generator_classifier_weight: of the cross-entropy on generated examples.
        generator_batch_multiple: latents of a generator step for each example of a
            critic batch.
        ema_decay: of the moving average of the generator; 0 keeps none.
        accumulate_steps: parts that each turn takes a batch in.
        sample_batch_norm: statistics at sampling: of the 'batch' (the authors') or
            the 'running' ones.
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

    step = as_train_step(alternate(critic_turn, generator_turn), axis)
    return assemble(players, init, step, sample_batch_norm)


def critic_loss(
    players: Players,
    penalty: Callable[..., Penalty],
    penalty_weight: float,
    drift_weight: float,
    classifier_weight: float,
) -> Loss:
    """Return the critic's loss, equation 3, with the drift and classifier terms.

    The interpolates use the fakes of the loss. Fakes of a conditional generator are
    made for the labels of the real batch; the cross-entropy is taken on real
    examples alone (gan_cifar_resnet.py). Metrics of terms are unweighted.
    """
    # The penalty needs float32 whatever the modules compute in.
    exact = players._replace(critic=players.critic.clone(dtype=None))

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        real = players.decode(batch, key)
        labels = batch["label"]
        latents = players.latents(key, batch["index"])
        fake, _ = players.generate(generator_variables(state), latents, labels)
        real_scores, real_logits, _ = players.score(params, {}, real)
        fake_scores, fake_logits, _ = players.score(params, {}, fake)
        term = penalty(
            lambda x: exact.score(params, {}, x)[0],
            key,
            real,
            fake,
            index=batch["index"],
        )
        drift = losses.drift(real_scores)
        distance = losses.wasserstein_critic(real_scores, fake_scores)
        value = distance + penalty_weight * term.value + drift_weight * drift
        metrics = {
            "critic/wasserstein": -distance,
            "critic/gradient_penalty": term.value,
            "critic/gradient_norm": term.gradient_norm,
        }
        if drift_weight:
            metrics["critic/drift"] = drift
        if real_logits is not None and fake_logits is not None:
            entropy = losses.classifier_cross_entropy(real_logits, labels)
            value = value + classifier_weight * entropy
            metrics |= classifier_metrics(entropy, real_logits, fake_logits, labels)
        return value, Outcome({}, {"critic/loss": value} | metrics)

    return loss


def classifier_metrics(
    entropy: Array, real_logits: Array, fake_logits: Array, labels: Array
) -> Metrics:
    """Return the classifier's cross-entropy, and its accuracies in [0, 1]."""

    def accuracy(logits: Array) -> Array:
        return jnp.mean(jnp.argmax(logits, axis=-1) == labels)

    return {
        "critic/classification": entropy,
        "critic/accuracy_real": accuracy(real_logits),
        "critic/accuracy_fake": accuracy(fake_logits),
    }
