"""CycleGAN: Zhu, Park, Isola and Efros, arXiv 1703.10593, section 3.

    for each step, with unpaired a ~ A and b ~ B:
        fake_b, fake_a = G_a2b(a), G_b2a(b)
        L_G = L_adv(D_b(fake_b)) + L_adv(D_a(fake_a))
              + w_a |G_b2a(fake_b) - a| + w_b |G_a2b(fake_a) - b|
              + w_id (w_b |G_a2b(b) - b| + w_a |G_b2a(a) - a|)
        G_a2b, G_b2a <- Adam(grad L_G)
        fake_a, fake_b <- image pools (with fakes from before the generators' update)
        D_a, D_b <- Adam(grad [L_adv(D_a; a, fake_a) + L_adv(D_b; b, fake_b)])

a2b is the paper's G (G_A in the official code), b2a its F (G_B). Critic `a` scores
images of domain a; it is the paper's D_X (D_B in the official code). Order and weights
are those of models/cycle_gan_model.py (junyanz/pytorch-CycleGAN-and-pix2pix), where the
identity weight w_id is relative to the cycle weights.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import keys, losses, pool
from jaxgan.gans.critic_passes import score_both
from jaxgan.gans.cycle_passes import translate_in_cycles
from jaxgan.gans.domains import (
    CRITICS,
    Domains,
    decode_images,
    evaluate_function,
    initial_state,
    sample_function,
)
from jaxgan.gradients import Loss, Outcome
from jaxgan.penalties import Penalty
from jaxgan.turns import (
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


def cyclegan(
    domains: Domains,
    *,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    adversarial: str = "lsgan",
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
        domains: the two modules of the four networks.
        generator_optimizer: for both generators; Adam(2e-4, 0.5, 0.999) in the paper.
        critic_optimizer: for both critics; likewise.
        adversarial: a key of `losses.ADVERSARIAL`; 'lsgan' is the paper's.
        cycle_weight_a: weight of |G_b2a(G_a2b(a)) - a|, 10 in the paper.
        cycle_weight_b: weight of |G_a2b(G_b2a(b)) - b|.
        identity_weight: relative to the cycle weights: 0.5 with a cycle weight of 10
            gives the identity term a weight of 5.
        pool_size: generated images kept for each domain; 0 for none.
        clip: bound on every critic parameter after each critic step, 0 for none; used
            only by 'wasserstein'.
        penalty: one of `jaxgan.penalties`; used only by 'wgan_gp'.
        penalty_weight: its weight.
        ema_decay: decay of the generators' moving average, in [0, 1); 0 keeps none.
        accumulate_steps: micro-batches that each turn splits its batch into.
    """
    clips = adversarial == "wasserstein" and clip > 0
    if adversarial != "wgan_gp":
        penalty = None
    axis, parts = domains.axis_name, accumulate_steps
    weights = {"a": cycle_weight_a, "b": cycle_weight_b, "identity": identity_weight}
    for_critics, for_generators = losses.ADVERSARIAL[adversarial]
    of_generators = generator_loss(domains, for_generators, weights)
    of_critics = critic_loss(domains, for_critics, penalty, penalty_weight)
    turns = [
        turn("generator", of_generators, generator_optimizer, axis, parts),
        remember_fakes(pool_size, axis),
        turn("critic", of_critics, critic_optimizer, axis, parts),
    ]
    if clips:
        turns.append(clip_weights(clip))
    if ema_decay:
        turns.append(average_generator(ema_decay))

    def init(key: Key) -> GanState:
        state = initial_state(domains, key, generator_optimizer, critic_optimizer)
        pools = {d: pool.empty_pool(pool_size, domains.shape) for d in CRITICS}
        memory = {"pool": pools}
        if ema_decay:
            memory["average"] = generator_variables(state)
        if clips:
            # The generators' first turn uses these critics, before any critic step.
            params = clip_params(state.critic.params, clip)
            state = state.replace(critic=state.critic.replace(params=params))
        return state.replace(memory=memory)

    step = as_train_step(drop_n_critic_axis(chain(*turns)), axis)
    return Gan(init, step, sample_function(domains), evaluate_function(domains))


def generator_loss(
    domains: Domains, adversarial: Callable[..., Array], weights: dict[str, float]
) -> Loss:
    """Return the loss of both generators, L_G at the top of this module.

    It has adversarial, cycle (equation 2) and identity (section 5.2) terms. It passes
    `fake_a` and `fake_b` [b, h, w, c] to the later turns. The metrics of its terms are
    unweighted.

    Args:
        domains: the four networks.
        adversarial: patch scores of fakes [b, h', w'] -> loss [].
        weights: the cycle weights 'a' and 'b', and 'identity', relative to these.
    """

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        a, b = decode_images(batch["a"]), decode_images(batch["b"])
        images, stats = translate_in_cycles(
            domains,
            {"params": params, "batch_stats": state.generator.batch_stats},
            {"a": a, "b": b},
            # With weight 0 the images are not made, instead of multiplied by zero.
            identity=bool(weights["identity"]),
            dropout_key=jax.random.fold_in(key, keys.DROPOUT),
            index=batch["index"],
        )
        error = losses.mean_absolute_error
        terms = {
            "generator/cycle_a": (weights["a"], error(images["cycled_a"], a)),
            "generator/cycle_b": (weights["b"], error(images["cycled_b"], b)),
        }
        fakes = {name: images[name] for name in ("fake_a", "fake_b")}
        for name, target in (("a2b", "b"), ("b2a", "a")):
            critic, fake = state.critic, fakes[f"fake_{target}"]
            # The critics' new statistics are dropped: only their own turn changes them.
            scores, _ = domains.score(critic.params, critic.batch_stats, target, fake)
            terms[f"generator/adversarial_{name}"] = (1.0, adversarial(scores))
        if weights["identity"]:
            for target in ("b", "a"):
                weight = weights["identity"] * weights[target]
                term = error(images[f"same_{target}"], images[target])
                terms[f"generator/identity_{target}"] = (weight, term)
        value = sum((w * term for w, term in terms.values()), jnp.zeros(()))
        metrics = {name: term for name, (_, term) in terms.items()}
        metrics["generator/loss"] = value
        return value, Outcome(stats, metrics, fakes)

    return loss


def remember_fakes(pool_size: int, axis_name: str | None) -> Turn:
    """Return the turn that adds the new fakes to the image pools.

    As `fake_a` and `fake_b`, the critics' turn then gets the images that the pools
    return: half of the time an earlier fake (CycleGAN section 4).
    """

    def take(state: GanState, batch: Batch, key: Key):
        pools, shown = {}, {}
        # A pool takes the images of the whole batch one after another, so each device
        # needs the draws for the whole batch, not only those for its share.
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
    """Return the loss of both critics on real images and on the pools' fakes.

    The penalty takes the gradient of each image's mean patch score, and its norm over
    all pixels of the image (the official code's `wgangp` mode never calls its penalty).

    Args:
        domains: the four networks.
        adversarial: patch scores [b, h', w'] of real and of fake images -> loss [].
        penalty: one of `jaxgan.penalties`, or None.
        penalty_weight: its weight.
    """
    # In bfloat16 the norms are too coarse for a second-order gradient.
    exact = domains._replace(critic=domains.critic.clone(dtype=None))

    def score_domain(params: PyTree, name: str, stats: PyTree, images: Array):
        return domains.score(params, stats, name, images)

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        stats = state.critic.batch_stats
        terms, penalties = {}, []
        for number, (name, real) in enumerate(
            (name, decode_images(batch[name])) for name in CRITICS
        ):
            fake = batch[f"fake_{name}"]
            score_images = partial(score_domain, params, name)
            (real_scores,), (fake_scores,), stats = score_both(
                score_images, stats, real, fake
            )
            terms[f"critic/{name}"] = adversarial(real_scores, fake_scores)
            if penalty is not None:
                score = exact.score_function(params, name)
                own_key = jax.random.fold_in(key, number)
                penalties.append(
                    penalty(score, own_key, real, fake, index=batch["index"])
                )
        value = sum(terms.values(), jnp.zeros(()))
        metrics = dict(terms)
        if adversarial is losses.wasserstein_critic:
            metrics["critic/wasserstein"] = -value / len(CRITICS)
        if penalties:
            total = sum((p.value for p in penalties), jnp.zeros(()))
            value = value + penalty_weight * total
            norms = sum((p.gradient_norm for p in penalties), jnp.zeros(()))
            metrics["critic/gradient_penalty"] = total / len(CRITICS)
            metrics["critic/gradient_norm"] = norms / len(CRITICS)
        return value, Outcome(stats, metrics | {"critic/loss": value})

    return loss
