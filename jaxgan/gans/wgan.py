"""WGAN: Arjovsky, Chintala and Bottou, arXiv 1701.07875, Algorithm 1.

for each generator step:
    n_critic times:                 # 100 times at the start: jaxgan/data/plan.py
        f_w gets new real examples and new latents
        w  <- w + a RMSProp(grad_w [E f_w(x) - E f_w(g(z))])
        w  <- clip(w, -c, c)
    theta <- theta - a RMSProp(-grad_theta E f_w(g_theta(z)))
"""

from functools import partial
from typing import Literal

from jaxgan import losses
from jaxgan.gans.critic_passes import fakes_for_critic, make_fakes, score_both
from jaxgan.gans.players import Players, assemble, generator_loss, initial_state
from jaxgan.gradients import Loss, Outcome
from jaxgan.turns import (
    alternate,
    as_train_step,
    average_generator,
    chain,
    clip_params,
    clip_weights,
    turn,
)
from jaxgan.types import Batch, Gan, GanState, Key, Optimizer, PyTree


def wgan(
    players: Players,
    *,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    clip: float,
    clip_order: Literal["after", "before"] = "after",
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
    sample_batch_norm: Literal["batch", "running"] = "batch",
) -> Gan:
    """Return the WGAN with weight clipping.

    Args:
        players: both networks.
        generator_optimizer: RMSProp with learning rate 5e-5 in the paper.
        critic_optimizer: likewise.
        clip: c, 0.01 in the paper; bounds every critic parameter, from `init` on.
        clip_order: 'after' each critic step (Algorithm 1), or 'before' it (the
            authors' code, main.py l.184: the generator then sees a critic that is up
            to one update outside [-c, c]).
        ema_decay: decay of the generator's moving average, in [0, 1); 0 keeps none.
        accumulate_steps: micro-batches that each turn splits its batch into.
        sample_batch_norm: statistics that BatchNorm uses for sampling: those of the
            'batch' (as in the authors' code) or the 'running' ones.
    """
    axis, parts = players.axis_name, accumulate_steps
    critic_turn = turn("critic", critic_loss(players), critic_optimizer, axis, parts)
    clip_turn = clip_weights(clip)
    generator_turn = turn(
        "generator", generator_loss(players), generator_optimizer, axis, parts
    )
    if clip_order == "after":
        critic_turn = chain(critic_turn, clip_turn)
    else:
        critic_turn = chain(clip_turn, critic_turn)
    if ema_decay:
        generator_turn = chain(generator_turn, average_generator(ema_decay))

    def init(key: Key) -> GanState:
        state = initial_state(
            players, key, generator_optimizer, critic_optimizer, bool(ema_decay)
        )
        # The initial weights are clipped too: otherwise the networks would start from
        # critic weights outside [-c, c].
        params = clip_params(state.critic.params, clip)
        return state.replace(critic=state.critic.replace(params=params))

    whole_turn = alternate(critic_turn, generator_turn)
    # Micro-batches are for less memory, and each has its own BatchNorm: with them, the
    # critic's turn makes its fakes itself.
    if accumulate_steps == 1:
        whole_turn = chain(make_fakes(players), whole_turn)
    step = as_train_step(whole_turn, axis)
    return assemble(players, init, step, sample_batch_norm)


def critic_loss(players: Players) -> Loss:
    """Return the critic's loss E D(G(z)) - E D(x), equation 2 with its sign changed.

    Metrics: `critic/loss`, and `critic/wasserstein`, which is minus the loss: the
    estimate of the distance, positive and falling during training.
    """

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        real = players.decode(batch, key)
        fake = fakes_for_critic(players, state, batch, key)
        (real_scores, _), (fake_scores, _), stats = score_both(
            partial(players.score, params), state.critic.batch_stats, real, fake
        )
        value = losses.wasserstein_critic(real_scores, fake_scores)
        metrics = {"critic/loss": value, "critic/wasserstein": -value}
        return value, Outcome(stats, metrics)

    return loss
