"""The two domains of a CycleGAN: four networks, their first state, translations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan import keys, pixels
from jaxgan.gans.players import off_axis
from jaxgan.metrics.paired_images import psnr
from jaxgan.turns import sampling_variables
from jaxgan.types import Array, Batch, GanState, Key, Network, Optimizer, PyTree

GENERATORS, CRITICS = ("a2b", "b2a"), ("a", "b")


class Domains(NamedTuple):
    """The modules of both players, each for two domains of images.

    Attributes:
        generator: images [b, h, w, c] -> images; one module, parameters for a2b, b2a.
        critic: images -> patch scores [b, h', w']; parameters for a and b.
        shape: (h, w, c) of a training image.
        dropout: whether the generators drop out while training.
        axis_name: the mapped axis of the devices, None on one device.
    """

    generator: nn.Module
    critic: nn.Module
    shape: tuple[int, int, int]
    dropout: bool = False
    axis_name: str | None = None

    def alone(self) -> "Domains":
        """Return the players off the mapped axis, for one device's sampling."""
        return self._replace(
            generator=off_axis(self.generator),
            critic=off_axis(self.critic),
            axis_name=None,
        )

    def decode(self, batch: Batch, key: Key) -> tuple[Array, Array]:
        """Return the real images a and b [b, h, w, c] as floats in [-1, 1]."""
        a, b = (pixels.to_floats(batch[name], "symmetric", key) for name in CRITICS)
        return a, b

    def translate(
        self,
        variables: PyTree,
        name: str,
        inputs: Array,
        train: bool,
        dropout_keys: Any = None,
    ) -> tuple[Array, PyTree]:
        """Return G_name(inputs) and all running statistics after it.

        `dropout_keys` [b] are the examples' own; None drops nothing.
        """
        outputs, new = self.generator.apply(
            {part: variables[part][name] for part in ("params", "batch_stats")},
            inputs,
            keys=dropout_keys,
            train=train,
            mutable=["batch_stats"],
        )
        stats = variables["batch_stats"] | {name: new.get("batch_stats", {})}
        return outputs, stats

    def score(
        self, params: PyTree, batch_stats: PyTree, name: str, examples: Array
    ) -> tuple[Array, PyTree]:
        """Return D_name's patch scores [b, h', w'] and all statistics after it."""
        scores, new = self.critic.apply(
            {"params": params[name], "batch_stats": batch_stats[name]},
            examples,
            train=True,
            mutable=["batch_stats"],
        )
        return scores, batch_stats | {name: new.get("batch_stats", {})}


def initial_state(
    domains: Domains,
    key: Key,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
) -> GanState:
    """Return the state at step 0; each of the four networks has a key of its own."""
    domains = domains.alone()
    example = jnp.zeros((1, *domains.shape))
    names = (*GENERATORS, *CRITICS)
    own_keys = jax.random.split(jax.random.fold_in(key, keys.INIT), len(names))
    made = {
        name: (domains.generator if name in GENERATORS else domains.critic).init(
            own_key, example, train=True
        )
        for name, own_key in zip(names, own_keys, strict=True)
    }

    def network(members: tuple[str, ...], optimizer: Optimizer) -> Network:
        params = {name: made[name]["params"] for name in members}
        stats = {name: made[name].get("batch_stats", {}) for name in members}
        return Network(params, stats, optimizer.tx.init(params))

    return GanState(
        step=jnp.zeros((), jnp.int32),
        generator=network(GENERATORS, generator_optimizer),
        critic=network(CRITICS, critic_optimizer),
    )


def translations(domains: Domains, state: GanState, batch: Batch, key: Key) -> PyTree:
    """Return {'a2b', 'a2b2a', 'b2a', 'b2a2b'}: images translated, and back again.

    By the moving average where it is kept, and with running statistics.
    """
    variables = sampling_variables(state)
    a, b = domains.decode(batch, key)
    made: dict[str, Array] = {}
    for there, back, real in (("a2b", "b2a", a), ("b2a", "a2b", b)):
        fake, _ = domains.translate(variables, there, real, False)
        again, _ = domains.translate(variables, back, fake, False)
        made |= {there: fake, f"{there}{back[1:]}": again}
    return made


def sampler(domains: Domains) -> Callable[[GanState, Batch, Key], dict[str, Array]]:
    """Return `sample`: {'a2b', 'a2b2a', 'b2a', 'b2a2b'} of the batch's images."""
    alone = domains.alone()
    return lambda state, batch, key: translations(alone, state, batch, key)


def evaluator(domains: Domains) -> Callable[..., dict[str, Array]]:
    """Return `evaluate`: the PSNR of translations and of identity, in dB.

    Where the batch has the truth, 'truth_b' of its images 'a' and 'truth_a' of 'b':
    heldout/psnr_a2b, heldout/psnr_b2a, heldout/psnr_identity_a2b and
    heldout/psnr_identity_b2a. Nothing otherwise.
    """
    alone = domains.alone()

    def evaluate(state: GanState, batch: Batch, key: Key) -> dict[str, Array]:
        if "truth_a" not in batch:
            return {}
        made = translations(alone, state, batch, key)
        a, b = alone.decode(batch, key)
        true = {"a": batch["truth_a"], "b": batch["truth_b"]}
        true_a, true_b = alone.decode(true, key)
        return {
            "heldout/psnr_a2b": psnr(made["a2b"], true_b),
            "heldout/psnr_b2a": psnr(made["b2a"], true_a),
            "heldout/psnr_identity_a2b": psnr(a, true_b),
            "heldout/psnr_identity_b2a": psnr(b, true_a),
        }

    return evaluate
