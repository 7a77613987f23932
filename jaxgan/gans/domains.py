"""Two domains of images and the four networks between them: CycleGAN's players."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan import keys, pixels
from jaxgan.gans.players import forward, without_axis
from jaxgan.metrics.paired_images import psnr
from jaxgan.turns import sampling_variables
from jaxgan.types import (
    Array,
    DomainImages,
    GanState,
    Key,
    Metrics,
    Network,
    Optimizer,
    PyTree,
)

GENERATORS, CRITICS = ("a2b", "b2a"), ("a", "b")


class Domains(NamedTuple):
    """The modules of generator and critic, each of which is used by two networks.

    Attributes:
        generator: images [b, h, w, c] -> images [b, h, w, c]; the networks a2b and b2a
            have separate parameters.
        critic: images [b, h, w, c] -> patch scores [b, h', w']; the networks a and b
            have separate parameters.
        shape: (h, w, c) of a training image.
        dropout: whether the generators have dropout while training.
        axis_name: the device axis under pmap, None on one device.
        remat: see `players.forward`.
    """

    generator: nn.Module
    critic: nn.Module
    shape: tuple[int, int, int]
    dropout: bool = False
    axis_name: str | None = None
    remat: bool = False

    def without_axis(self) -> "Domains":
        """Return a copy without the device axis, for use outside pmap."""
        return self._replace(
            generator=without_axis(self.generator),
            critic=without_axis(self.critic),
            axis_name=None,
        )

    def translate(
        self,
        variables: PyTree,
        name: str,
        inputs: Array,
        train: bool,
        dropout_keys: Any = None,
    ) -> tuple[Array, PyTree]:
        """Return G_name(inputs) [b, h, w, c], and both generators' running statistics.

        Args:
            variables: 'params' and 'batch_stats' of both generators, by name.
            name: 'a2b' or 'b2a'.
            inputs: [b, h, w, c] in [-1, 1].
            train: whether BatchNorm normalises by the batch's statistics, rather than
                by the running ones.
            dropout_keys: keys [b], one for each example; None for no dropout.
        """
        own = {part: variables[part][name] for part in ("params", "batch_stats")}
        outputs, stats = forward(
            self.generator, self.remat, own, inputs, dropout_keys, train=train
        )
        return outputs, variables["batch_stats"] | {name: stats}

    def score(
        self, params: PyTree, batch_stats: PyTree, name: str, examples: Array
    ) -> tuple[Array, PyTree]:
        """Return D_name's patch scores [b, h', w'], and both critics' statistics.

        Args:
            params: parameters of both critics, by name.
            batch_stats: running statistics of both critics, by name.
            name: 'a' or 'b'.
            examples: images [b, h, w, c] of that domain, in [-1, 1].
        """
        own = {"params": params[name], "batch_stats": batch_stats[name]}
        scores, stats = forward(self.critic, self.remat, own, examples, train=True)
        return scores, batch_stats | {name: stats}

    def score_function(
        self, params: PyTree, name: str = "a"
    ) -> Callable[[Array], Array]:
        """Return images [b, h, w, c] -> scores [b] of critic `name`, for a penalty.

        An image's score is the mean of its patch scores, which the Wasserstein loss
        averages. There are no running statistics, because a critic with BatchNorm must
        not be penalised.
        """
        return lambda x: self.score(params, {name: {}}, name, x)[0].mean(axis=(1, 2))


def decode_images(image: Any) -> Array:
    """Return images [..., h, w, c], uint8 or floats, as floats in [-1, 1]."""
    return pixels.to_floats(image, "symmetric")


def initial_state(
    domains: Domains,
    key: Key,
    generator_optimizer: Optimizer,
    critic_optimizer: Optimizer,
) -> GanState:
    """Return the state at step 0, without memory.

    Each of the four networks is initialised from its own key: with the same key, the
    two generators would start as copies of each other.
    """
    # Outside pmap there is no device axis that BatchNorm could average over.
    domains = domains.without_axis()
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


def translate_images(
    domains: Domains, state: GanState, images: DomainImages
) -> dict[str, Array]:
    """Return {'a2b', 'a2b2a', 'b2a', 'b2a2b'}: translations, and translations back.

    They are floats in [-1, 1]. The generators use their moving average if one is kept,
    and BatchNorm's running statistics.
    """
    variables = sampling_variables(state)
    a, b = decode_images(images.a), decode_images(images.b)
    translated: dict[str, Array] = {}
    for there, back, real in (("a2b", "b2a", a), ("b2a", "a2b", b)):
        fake, _ = domains.translate(variables, there, real, False)
        cycled, _ = domains.translate(variables, back, fake, False)
        translated |= {there: fake, f"{there}{back[1:]}": cycled}
    return translated


def sample_function(
    domains: Domains,
) -> Callable[[GanState, DomainImages, Key], dict[str, Array]]:
    """Return a Gan's `sample`: `translate_images` of images [n, h, w, c].

    It does not use the key.
    """
    single = domains.without_axis()
    return lambda state, images, key: translate_images(single, state, images)


def evaluate_function(
    domains: Domains,
) -> Callable[[GanState, DomainImages, Key], Metrics]:
    """Return a Gan's `evaluate`: the PSNR of translations and of the identity, in dB.

    If the truth of the images is known, it returns the scalars [] heldout/psnr_a2b,
    heldout/psnr_b2a, heldout/psnr_identity_a2b and heldout/psnr_identity_b2a, and
    otherwise {}.
    """
    single = domains.without_axis()

    def evaluate(state: GanState, images: DomainImages, key: Key) -> Metrics:
        if images.truth_a is None or images.truth_b is None:
            return {}
        translated = translate_images(single, state, images)
        a, b = decode_images(images.a), decode_images(images.b)
        true_a, true_b = decode_images(images.truth_a), decode_images(images.truth_b)
        return {
            "heldout/psnr_a2b": psnr(translated["a2b"], true_b),
            "heldout/psnr_b2a": psnr(translated["b2a"], true_a),
            "heldout/psnr_identity_a2b": psnr(a, true_b),
            "heldout/psnr_identity_b2a": psnr(b, true_a),
        }

    return evaluate
