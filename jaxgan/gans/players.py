"""What WGAN and WGAN-GP share: two networks, latents, and the generator's side."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan import keys, losses, pixels
from jaxgan.turns import Loss, Outcome, generator_variables, sampling_variables
from jaxgan.types import Array, Batch, Gan, GanState, Key, Network, Optimizer, PyTree


def off_axis(module: Any) -> nn.Module:
    """Return the module without its axis of devices, for one device's sampling."""
    return module.clone(axis_name=None) if hasattr(module, "axis_name") else module


class Players(NamedTuple):
    """The modules of both players, and what is drawn for them.

    Attributes:
        generator: latents [b, z], labels int32 [b] -> examples [b, *shape].
        critic: examples [b, *shape] -> scores [b], or (scores, logits [b, classes]).
        shape: shape of one example.
        latent: 'normal', N(0, 1), or 'uniform', U[-1, 1].
        latent_size: z.
        num_classes: 0 where labels are not looked at.
        value_range: one of `pixels.VALUE_RANGES`.
        axis_name: the mapped axis of the devices, None on one device.
    """

    generator: nn.Module
    critic: nn.Module
    shape: tuple[int, ...]
    latent: str
    latent_size: int
    num_classes: int = 0
    value_range: str = "symmetric"
    axis_name: str | None = None

    def alone(self) -> "Players":
        """Return the players off the mapped axis, for one device's sampling."""
        return self._replace(
            generator=off_axis(self.generator),
            critic=off_axis(self.critic),
            axis_name=None,
        )

    def latents(self, key: Key, index: Array) -> Array:
        """Return latents [b, z] of the examples with numbers `index` int32 [b]."""

        def draw(k: Key) -> Array:
            if self.latent == "normal":
                return jax.random.normal(k, (self.latent_size,))
            return jax.random.uniform(k, (self.latent_size,), minval=-1.0)

        return keys.draw_per_example(draw, key, keys.LATENTS, index)

    def labels(self, key: Key, index: Array) -> Array:
        """Return uniform labels int32 [b]; zeros without classes."""
        if not self.num_classes:
            return jnp.zeros(index.shape, jnp.int32)
        return keys.draw_per_example(
            lambda k: jax.random.randint(k, (), 0, self.num_classes),
            key,
            keys.LABELS,
            index,
        )

    def decode(self, batch: Batch, key: Key) -> Array:
        """Return the batch's real examples [b, *shape] as floats."""
        return pixels.to_floats(batch["image"], self.value_range, key, batch["index"])

    def generate(
        self, variables: PyTree, latents: Array, labels: Array, train: bool = True
    ) -> tuple[Array, PyTree]:
        """Return fakes [b, *shape] and the generator's new running statistics."""
        fakes, new = self.generator.apply(
            variables, latents, labels, train=train, mutable=["batch_stats"]
        )
        return fakes, new.get("batch_stats", {})

    def score(
        self, params: PyTree, batch_stats: PyTree, examples: Array
    ) -> tuple[Array, Array | None, PyTree]:
        """Return scores [b], class logits or None, and new running statistics."""
        out, new = self.critic.apply(
            {"params": params, "batch_stats": batch_stats},
            examples,
            train=True,
            mutable=["batch_stats"],
        )
        scores, logits = out if self.num_classes else (out, None)
        # A critic that computes in bfloat16 still has its means in float32.
        scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
        return scores, logits, new.get("batch_stats", {})


def generator_loss(
    players: Players, batch_multiple: int = 1, classifier_weight: float = 0.0
) -> Loss:
    """Return the generator's loss -E D(G(z)) [+ weight * CE(D_class(G(z, y)), y)].

    It draws `batch_multiple` latents for each example of a critic batch (2 in
    igul222's gan_cifar_resnet.py) and uniform labels. The critic's running
    statistics stay as they are: a player's turn changes that player alone.
    """

    def loss(params: PyTree, state: GanState, batch: Batch, key: Key):
        # Example i of the batch has the latents i * multiple, i * multiple + 1, ...
        index = jnp.repeat(batch["index"] * batch_multiple, batch_multiple)
        index += jnp.tile(jnp.arange(batch_multiple), batch["index"].shape[0])
        labels = players.labels(key, index)
        fake, stats = players.generate(
            {"params": params, "batch_stats": state.generator.batch_stats},
            players.latents(key, index),
            labels,
        )
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
    """Return the state at step 0; both networks have a key of their own."""
    players = players.alone()
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
    """Return the Gan with the sampling and the held-out metric that both share."""
    alone = players.alone()

    def sample(state: GanState, batch: Batch, key: Key) -> dict[str, Array]:
        """Return {'samples': [n, *shape]}, from the moving average where it is kept."""
        labels = batch["label"]
        latents = batch.get("latents")
        if latents is None:
            latents = alone.latents(key, jnp.arange(labels.shape[0]))
        variables = sampling_variables(state)
        train = sample_batch_norm == "batch"
        return {"samples": alone.generate(variables, latents, labels, train)[0]}

    def evaluate(state: GanState, batch: Batch, key: Key) -> dict[str, Array]:
        """Return heldout/wasserstein, E D(real) - E D(fake) on held-out examples."""
        index = jnp.arange(batch["image"].shape[0])
        real = alone.decode(batch | {"index": index}, key)
        latents = alone.latents(key, index)
        variables = generator_variables(state)
        fake, _ = alone.generate(variables, latents, batch["label"])
        critic = (state.critic.params, state.critic.batch_stats)
        real_scores, _, _ = alone.score(*critic, real)
        fake_scores, _, _ = alone.score(*critic, fake)
        estimate = -losses.wasserstein_critic(real_scores, fake_scores)
        return {"heldout/wasserstein": estimate}

    return Gan(init, train_step, sample, evaluate)
