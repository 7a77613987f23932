"""Where a config becomes plain arguments: the data set, the plan and the Gan."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan import data, models, optim, penalties
from jaxgan.data.plan import Plan
from jaxgan.errors import UserError
from jaxgan.gans.players import Players
from jaxgan.gans.wgan import wgan
from jaxgan.gans.wgan_gp import wgan_gp
from jaxgan.penalties import Penalty
from jaxgan.types import Gan


def dataset(config: ConfigDict) -> data.Dataset:
    """Return the data set that `config.data` names."""
    return data.load(
        config.data.name,
        dir=config.data.dir,
        image_size=config.data.image_size,
        channels=config.data.channels,
        labels=config.gan.get("conditional", False),
        cache=config.data.cache,
    )


def plan(config: ConfigDict, num_examples: int) -> Plan:
    """Return the plan of which examples make up which step."""
    return Plan(
        num_examples=num_examples,
        batch_size=config.data.batch_size,
        seed=config.train.seed,
        n_critic=config.gan.n_critic,
        critic_start=config.gan.get("critic_start", False),
    )


def players(
    config: ConfigDict,
    shape: tuple[int, ...],
    num_classes: int,
    axis_name: str | None = None,
) -> Players:
    """Return both networks for examples of `shape`.

    Raises:
        UserError: an unknown network or option, a shape that a network cannot take,
            or classes asked for where the data has none.
    """
    conditional = config.gan.get("conditional", False)
    if conditional and not num_classes:
        raise UserError(
            f"gan.conditional = True: data.name = {config.data.name} has no labels"
        )
    kwargs: dict[str, Any] = {
        "shape": shape,
        "num_classes": num_classes if conditional else 0,
        "axis_name": axis_name,
        "dtype": jnp.bfloat16 if config.train.precision == "bfloat16" else None,
    }
    return Players(
        generator=models.generator(**config.generator.to_dict(), **kwargs),
        critic=models.critic(**config.critic.to_dict(), **kwargs),
        shape=shape,
        latent=config.gan.latent,
        latent_size=config.gan.latent_size,
        num_classes=kwargs["num_classes"],
        value_range=config.data.value_range,
        axis_name=axis_name,
    )


def gan(
    config: ConfigDict,
    shape: tuple[int, ...],
    num_classes: int = 0,
    axis_name: str | None = None,
) -> Gan:
    """Return the Gan of a config for examples of `shape`; raises UserError."""
    options = config.gan
    common: dict[str, Any] = {
        "generator_optimizer": optim.optimizer(**config.optimizer.generator),
        "critic_optimizer": optim.optimizer(**config.optimizer.critic),
        "ema_decay": options.ema_decay,
        "sample_batch_norm": options.sample_batch_norm,
    }
    both = players(config, shape, num_classes, axis_name)
    if options.name == "wgan":
        return wgan(both, clip=options.clip, clip_order=options.clip_order, **common)
    return wgan_gp(
        both,
        penalty=penalty(options, axis_name),
        penalty_weight=options.penalty_weight,
        drift_weight=options.drift_weight,
        critic_classifier_weight=options.critic_classifier_weight,
        generator_classifier_weight=options.generator_classifier_weight,
        generator_batch_multiple=options.generator_batch_multiple,
        **common,
    )


def penalty(options: ConfigDict, axis_name: str | None) -> Callable[..., Penalty]:
    """Return the penalty that `gan.penalty` names, its options closed over."""
    if options.penalty == "r1":
        return penalties.r1
    around = {
        "target": options.penalty_target,
        "one_sided": options.penalty_one_sided,
        "axis_name": axis_name,
    }
    if options.penalty == "dragan":
        variance = options.penalty_noise_variance
        return partial(penalties.dragan, noise_variance=variance, **around)
    return partial(penalties.gradient_penalty, **around)


def check_critic(
    config: ConfigDict, shape: tuple[int, ...], num_classes: int, params: dict
) -> None:
    """Raise UserError where a penalised critic mixes the examples of a batch."""
    if config.gan.name == "wgan_gp":
        both = players(config, shape, num_classes)
        count = 2 * math.prod(both.shape)
        examples = jnp.linspace(-1, 1, count).reshape(2, *both.shape)
        penalties.assert_examples_independent(
            lambda x: both.score(params, {}, x)[0], examples
        )
