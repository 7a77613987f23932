"""CycleGAN: Zhu, Park, Isola and Efros, arXiv 1703.10593, section 3.

    for each step, with unpaired a ~ A and b ~ B:
        fake_b, fake_a = G_a2b(a), G_b2a(b)
        L_G = L_adv(D_b(fake_b)) + L_adv(D_a(fake_a))
              + w_a |G_b2a(fake_b) - a| + w_b |G_a2b(fake_a) - b|
              + w_id (w_b |G_a2b(b) - b| + w_a |G_b2a(a) - a|)
        G_a2b, G_b2a <- Adam(grad L_G)
        fake_a, fake_b <- image pool (the fakes of before the update)
        D_a, D_b <- Adam(grad [L_adv(D_a; a, fake_a) + L_adv(D_b; b, fake_b)])

a2b is the paper's G (upstream's G_A), b2a its F (G_B); critic `a` judges domain a: the
paper's D_X, upstream's D_B. Order and weights are those of upstream's
models/cycle_gan_model.py, whose identity weight is relative to the cycle weights.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import keys, losses, pool
from jaxgan.gans.domains import CRITICS, Domains, evaluator, initial_state, sampler
from jaxgan.penalties import Penalty
from jaxgan.turns import (
    Loss,
    Outcome,
    Turn,
    as_train_step,
    average_generator,
    chain,
    clip_params,
    clip_weights,
    drop_n_critic_axis,
    generator_variables,
    turn,
)
from jaxgan.types import Array, Batch, Gan, GanState, Key, Optimizer, PyTree

# (real scores, fake scores) -> the critic's loss; fake scores -> the generator's.
ADVERSARIAL: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "lsgan": (losses.least_squares_critic, losses.least_squares_generator),
    "vanilla": (losses.cross_entropy_critic, losses.cross_entropy_generator),
    "wasserstein": (losses.wasserstein_critic, losses.wasserstein_generator),
    "wgan_gp": (losses.wasserstein_critic, losses.wasserstein_generator),
}


def cyclegan(
    domains: Domains,
    *,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    adversarial: str,
    cycle_weight_a: float = 10.0,
    cycle_weight_b: float = 10.0,
    identity_weight: float = 0.5,
    pool_size: int = 50,
    clip: float = 0.0,
    penalty: Callable[..., Penalty] | None = None,
    penalty_weight: float = 0.0,
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
) -> Gan:
    """Return the CycleGAN.

    Args:
        domains: both networks.
        generator_optimizer: of both generators; Adam(2e-4, 0.5, 0.999) in the paper.
        critic_optimizer: of both critics; likewise.
        adversarial: a key of ADVERSARIAL. 'lsgan' is the paper's.
        cycle_weight_a: of |G_b2a(G_a2b(a)) - a|, 10 in the paper.
        cycle_weight_b: of |G_a2b(G_b2a(b)) - b|.
        identity_weight: relative to the cycle weights: 0.5 counts 5 times.
        pool_size: generated images remembered for each domain; 0 for none.
        clip: bound of every critic parameter after each critic step; 0 for none.
        penalty: (score, key, real, fake) -> Penalty, for 'wgan_gp'.
        penalty_weight: its weight.
        ema_decay: of the moving average of the generators; 0 keeps none.
        accumulate_steps: parts that each turn takes a batch in.
    """
    axis, parts = domains.axis_name, accumulate_steps
    weights = {"a": cycle_weight_a, "b": cycle_weight_b, "identity": identity_weight}
    of_generator = generator_loss(domains, ADVERSARIAL[adversarial][1], weights)
    of_critic = critic_loss(
        domains, ADVERSARIAL[adversarial][0], penalty, penalty_weight
    )
    turns = [
        turn("generator", of_generator, generator_optimizer, axis, parts),
        remember_fakes(pool_size, axis),
        turn("critic", of_critic, critic_optimizer, axis, parts),
    ]
    if clip:
        turns.append(clip_weights(clip))
    if ema_decay:
        turns.append(average_generator(ema_decay))

    def init(key: Key) -> GanState:
        state = initial_state(domains, key, generator_optimizer, critic_optimizer)
        memory = {
            "pool": {d: pool.empty_pool(pool_size, domains.shape) for d in CRITICS}
        }
        if ema_decay:
            memory["average"] = generator_variables(state)
        if clip:
            params = clip_params(state.critic.params, clip)
            state = state.replace(critic=state.critic.replace(params=params))
        return state.replace(memory=memory)

    step = as_train_step(drop_n_critic_axis(chain(*turns)), axis)
    return Gan(init, step, sampler(domains), evaluator(domains))


def generator_loss(
    domains: Domains, adversarial: Callable[..., Array], weights: dict[str, float]
) -> Loss:
    """Return the loss of both generators; it makes `fake_a` and `fake_b`.

    Adversarial, cycle (equation 2) and identity (section 5.2) terms, as in the box
    above. Metrics of the terms are unweighted.
    """

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        a, b = domains.decode(batch, key)
        stats = state.generator.batch_stats
        dropout = jax.random.fold_in(key, keys.DROPOUT)
        passes = 0

        def translate(name: str, inputs: Array) -> Array:
            nonlocal stats, passes
            variables = {"params": params, "batch_stats": stats}
            drops = None
            if domains.dropout:
                pass_key = jax.random.fold_in(dropout, passes)
                drops = keys.example_keys(pass_key, batch["index"])
            outputs, stats = domains.translate(variables, name, inputs, True, drops)
            passes += 1
            return outputs

        # Upstream's order, by which BatchNorm's running statistics go.
        fake_b = translate("a2b", a)
        cycled_a = translate("b2a", fake_b)
        fake_a = translate("b2a", b)
        cycled_b = translate("a2b", fake_a)
        error = losses.mean_absolute_error
        terms = {
            "generator/cycle_a": (weights["a"], error(cycled_a, a)),
            "generator/cycle_b": (weights["b"], error(cycled_b, b)),
        }
        for name, judge, fake in (("a2b", "b", fake_b), ("b2a", "a", fake_a)):
            critic = state.critic
            scores, _ = domains.score(critic.params, critic.batch_stats, judge, fake)
            terms[f"generator/adversarial_{name}"] = (1.0, adversarial(scores))
        if weights["identity"]:
            for name, judge, real in (("a2b", "b", b), ("b2a", "a", a)):
                weight = weights["identity"] * weights[judge]
                term = error(translate(name, real), real)
                terms[f"generator/identity_{judge}"] = (weight, term)
        value = sum((w * term for w, term in terms.values()), jnp.zeros(()))
        metrics = {name: term for name, (_, term) in terms.items()}
        metrics["generator/loss"] = value
        return value, Outcome(stats, metrics, {"fake_a": fake_a, "fake_b": fake_b})

    return loss


def remember_fakes(pool_size: int, axis_name: str | None) -> Turn:
    """Return the turn that puts the fakes through the image pools."""

    def take(state: GanState, batch: Batch, key: Key):
        pools, shown = {}, {}
        devices = 1 if axis_name is None else lax.axis_size(axis_name)
        index = jnp.arange(devices * batch["fake_a"].shape[0])
        for number, domain in enumerate(CRITICS):
            fakes = batch[f"fake_{domain}"]
            own_key = jax.random.fold_in(key, number)
            chosen = pool.draw_exchanges(own_key, pool_size, index)
            pools[domain], shown[f"fake_{domain}"] = pool.query_pool(
                state.memory["pool"][domain], fakes, *chosen, axis_name
            )
        state = state.replace(memory=state.memory | {"pool": pools})
        return state, batch | shown, {}

    return take


def critic_loss(
    domains: Domains,
    adversarial: Callable[..., Array],
    penalty: Callable[..., Penalty] | None,
    penalty_weight: float,
) -> Loss:
    """Return the loss of both critics on real images and the pool's fakes.

    Real and fake images pass apart, each with BatchNorm statistics of their own. The
    penalty takes an image's score to be the mean of its patch scores, which is what
    the Wasserstein loss averages: the norm is that of this mean's gradient, over all
    pixels of the image.
    """
    exact = domains._replace(critic=domains.critic.clone(dtype=None))

    def penalise(
        params: PyTree, name: str, key: Key, real: Array, fake: Array, index: Array
    ) -> Penalty:
        def image_scores(x: Array) -> Array:
            # Without running statistics: BatchNorm is refused beside a penalty.
            return exact.score(params, {name: {}}, name, x)[0].mean(axis=(1, 2))

        assert penalty is not None
        return penalty(image_scores, key, real, fake, index=index)

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        stats = state.critic.batch_stats
        terms, penalties = {}, []
        for number, (name, real) in enumerate(
            zip(CRITICS, domains.decode(batch, key), strict=True)
        ):
            fake = batch[f"fake_{name}"]
            real_scores, stats = domains.score(params, stats, name, real)
            fake_scores, stats = domains.score(params, stats, name, fake)
            terms[f"critic/{name}"] = adversarial(real_scores, fake_scores)
            if penalty is not None:
                part = jax.random.fold_in(key, number)
                of_batch = real, fake, batch["index"]
                penalties.append(penalise(params, name, part, *of_batch))
        value = sum(terms.values(), jnp.zeros(()))
        metrics = dict(terms)
        if adversarial is losses.wasserstein_critic:
            metrics["critic/wasserstein"] = -value / 2
        if penalties:
            total = sum((p.value for p in penalties), jnp.zeros(()))
            value = value + penalty_weight * total
            norms = sum((p.gradient_norm for p in penalties), jnp.zeros(()))
            metrics["critic/gradient_penalty"] = total / 2
            metrics["critic/gradient_norm"] = norms / 2
        return value, Outcome(stats, metrics | {"critic/loss": value})

    return loss
