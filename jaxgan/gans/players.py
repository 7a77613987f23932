"""Two networks and their latents: what WGAN and WGAN-GP share."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan import keys, losses, pixels
from jaxgan.gradients import Loss, Outcome
from jaxgan.turns import generator_variables, sampling_variables
from jaxgan.types import (
    Array,
    Batch,
    Gan,
    GanState,
    Key,
    LatentInputs,
    Network,
    Optimizer,
    PyTree,
)


def without_axis(module: Any) -> nn.Module:
    """Return a copy of a module without its device axis, for use outside pmap."""
    return module.clone(axis_name=None) if hasattr(module, "axis_name") else module


def forward(
    module: nn.Module, remat: bool, variables: PyTree, *inputs: Any, train: bool
) -> tuple[Any, PyTree]:
    """Return a network's outputs and its new running statistics.

    With `remat`, a gradient computes the layers of this pass once more, instead of
    keeping their outputs in memory (`jax.checkpoint`).
    """
    run = partial(module.apply, train=train, mutable=["batch_stats"])
    outputs, new = (jax.checkpoint(run) if remat else run)(variables, *inputs)
    return outputs, new.get("batch_stats", {})


class Players(NamedTuple):
    """The two modules, and how their inputs are drawn.

    Attributes:
        generator: latents [b, z], labels int32 [b] -> examples [b, *shape].
        critic: examples [b, *shape] -> scores [b], or (scores, logits [b, classes]).
        shape: shape of one example.
        latent: 'normal' for N(0, 1), 'uniform' for U[-1, 1].
        latent_size: z.
        num_classes: number of classes; 0 if labels are not used.
        value_range: range of the examples, one of `pixels.VALUE_RANGES`.
        axis_name: the device axis under pmap, None on one device.
        remat: see `forward`.
    """

    generator: nn.Module
    critic: nn.Module
    shape: tuple[int, ...]
    latent: str
    latent_size: int
    num_classes: int = 0
    value_range: str = "symmetric"
    axis_name: str | None = None
    remat: bool = False

    def without_axis(self) -> "Players":
        """Return a copy without the device axis, for use outside pmap."""
        return self._replace(
            generator=without_axis(self.generator),
            critic=without_axis(self.critic),
            axis_name=None,
        )

    def draw_latents(self, key: Key, index: Array) -> Array:
        """Return latents [b, z] for the examples `index` int32 [b] of the batch."""

        def draw(k: Key) -> Array:
            if self.latent == "normal":
                return jax.random.normal(k, (self.latent_size,))
            return jax.random.uniform(k, (self.latent_size,), minval=-1.0)

        return keys.draw_per_example(draw, key, keys.LATENTS, index)

    def draw_labels(self, key: Key, index: Array) -> Array:
        """Return labels int32 [b], uniform over the classes; zeros without classes."""
        if not self.num_classes:
            return jnp.zeros(index.shape, jnp.int32)
        return keys.draw_per_example(
            lambda k: jax.random.randint(k, (), 0, self.num_classes),
            key,
            keys.LABELS,
            index,
        )

    def decode(self, batch: Batch, key: Key) -> Array:
        """Return the batch's real examples as floats [b, *shape] in `value_range`."""
        return pixels.to_floats(batch["image"], self.value_range, key, batch["index"])

    def generate(
        self, variables: PyTree, latents: Array, labels: Array, train: bool = True
    ) -> tuple[Array, PyTree]:
        """Return fakes [b, *shape] and the generator's new running statistics.

        Args:
            variables: the generator's 'params' and 'batch_stats'.
            latents: [b, z].
            labels: int32 [b].
            train: whether BatchNorm normalises by the batch's statistics, rather than
                by the running ones.
        """
        return forward(
            self.generator, self.remat, variables, latents, labels, train=train
        )

    def score(
        self, params: PyTree, batch_stats: PyTree, examples: Array
    ) -> tuple[Array, Array | None, PyTree]:
        """Return scores [b], class logits [b, classes] or None, and new statistics.

        BatchNorm normalises the examples [b, *shape] by their own statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        out, stats = forward(self.critic, self.remat, variables, examples, train=True)
        scores, logits = out if self.num_classes else (out, None)
        # The losses are means of scores. In bfloat16 a mean loses most of its digits,
        # so it is taken in float32, whatever type the critic computes in.
        scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
        return scores, logits, stats

    def score_function(self, params: PyTree) -> Callable[[Array], Array]:
        """Return examples [b, *shape] -> scores [b] for a penalty.

        There are no running statistics, because a critic with BatchNorm must not be
        penalised.
        """
        return lambda examples: self.score(params, {}, examples)[0]


def generator_loss(
    players: Players, batch_multiple: int = 1, classifier_weight: float = 0.0
) -> Loss:
    """Return the generator's loss -E D(G(z)) + weight * CE(D_class(G(z, y)), y).

    The second term exists only with classes. Metrics: `generator/loss` is the first
    term, `generator/classification` is the unweighted cross-entropy in nats.

    Args:
        players: both networks.
        batch_multiple: latents for each example of a critic batch, 2 in igul222's
            gan_cifar_resnet.py; labels are drawn uniformly.
        classifier_weight: weight of the cross-entropy.
    """

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        # Example i of the batch gets the latents i * multiple, i * multiple + 1, ...
        # The numbers count over the global batch, so the latents are the same on any
        # number of devices.
        index = jnp.repeat(batch["index"] * batch_multiple, batch_multiple)
        index += jnp.tile(jnp.arange(batch_multiple), batch["index"].shape[0])
        labels = players.draw_labels(key, index)
        fake, stats = players.generate(
            {"params": params, "batch_stats": state.generator.batch_stats},
            players.draw_latents(key, index),
            labels,
        )
        # The critic's new running statistics are dropped: a turn changes only its own
        # player, so the critic's statistics come only from its own turns.
        scores, logits, _ = players.score(
            state.critic.params, state.critic.batch_stats, fake
        )
        value = losses.wasserstein_generator(scores)
        metrics = {"generator/loss": value}
        if logits is not None:
            entropy = losses.classifier_cross_entropy(logits, labels)
            metrics["generator/classification"] = entropy
            value = value + classifier_weight * entropy
        return value, Outcome(stats, metrics)

    return loss


def initial_state(
    players: Players,
    key: Key,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    ema: bool,
) -> GanState:
    """Return the state at step 0, with a moving average of the generator if `ema`.

    Each network is initialised from its own key.
    """
    # Outside pmap there is no device axis that BatchNorm could average over.
    players = players.without_axis()
    generator_key, critic_key = jax.random.split(jax.random.fold_in(key, keys.INIT))
    labels = jnp.zeros(2, jnp.int32)
    generator = players.generator.init(
        generator_key, jnp.zeros((2, players.latent_size)), labels, train=True
    )
    critic = players.critic.init(critic_key, jnp.zeros((2, *players.shape)), train=True)

    def network(variables: PyTree, optimizer: Optimizer) -> Network:
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return Network(params, stats, optimizer.tx.init(params))

    state = GanState(
        step=jnp.zeros((), jnp.int32),
        generator=network(generator, generator_optimizer),
        critic=network(critic, critic_optimizer),
    )
    if not ema:
        return state
    return state.replace(memory={"average": generator_variables(state)})


def assemble(
    players: Players, init: Any, train_step: Any, sample_batch_norm: str
) -> Gan:
    """Return the Gan, with the sampling and the held-out metric that both GANs share.

    Args:
        players: both networks.
        init: the Gan's `init`.
        train_step: the Gan's `train_step`.
        sample_batch_norm: statistics that BatchNorm uses for sampling: those of the
            'batch', as in the authors' code, which never leaves training mode, or the
            'running' ones.
    """
    single = players.without_axis()

    def sample(state: GanState, inputs: LatentInputs, key: Key) -> dict[str, Array]:
        """Return {'samples': [n, *shape]}, from the moving average if there is one."""
        labels, latents = jnp.asarray(inputs.labels), inputs.latents
        if latents is None:
            latents = single.draw_latents(key, jnp.arange(labels.shape[0]))
        variables = sampling_variables(state)
        train = sample_batch_norm == "batch"
        samples, _ = single.generate(variables, jnp.asarray(latents), labels, train)
        return {"samples": samples}

    def evaluate(state: GanState, batch: Batch, key: Key) -> dict[str, Array]:
        """Return heldout/wasserstein [], E D(real) - E D(fake) on held-out examples."""
        index = jnp.arange(batch["image"].shape[0])
        real = single.decode(batch | {"index": index}, key)
        latents = single.draw_latents(key, index)
        # The raw generator, not its average: the critic is trained against the raw one.
        variables = generator_variables(state)
        fake, _ = single.generate(variables, latents, batch["label"])
        critic = (state.critic.params, state.critic.batch_stats)
        real_scores, _, _ = single.score(*critic, real)
        fake_scores, _, _ = single.score(*critic, fake)
        estimate = -losses.wasserstein_critic(real_scores, fake_scores)
        return {"heldout/wasserstein": estimate}

    return Gan(init, train_step, sample, evaluate)
