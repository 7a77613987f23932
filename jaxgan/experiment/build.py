"""Where a config becomes plain arguments: the data set, the plan and the Gan."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan import data, optim, penalties
from jaxgan.data import PairPlan, Plan
from jaxgan.errors import UserError
from jaxgan.gans.cyclegan import cyclegan
from jaxgan.gans.domains import CRITICS, Domains
from jaxgan.gans.players import Players
from jaxgan.gans.wgan import wgan
from jaxgan.gans.wgan_gp import wgan_gp
from jaxgan.models import latent, translation
from jaxgan.penalties import Penalty
from jaxgan.types import Gan, Optimizer


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


def pair(config: ConfigDict) -> data.Pair:
    """Return the two domains that `config.data` names."""
    return data.load_pair(
        config.data.name,
        dir=config.data.dir,
        dir_b=config.data.dir_b,
        resize=config.data.resize,
        image_size=config.data.image_size,
        channels=config.data.channels,
        cache=config.data.cache,
    )


def pair_plan(config: ConfigDict, domains: data.Pair) -> PairPlan:
    """Return the plan of which images, crops and flips make up which step."""
    return PairPlan(
        num_a=len(domains.train_a),
        num_b=len(domains.train_b),
        batch_size=config.data.batch_size,
        seed=config.train.seed,
        flip=config.data.flip,
    )


def num_steps(config: ConfigDict, plan: Plan | PairPlan) -> int:
    """Return the number of steps to train, given as such or as epochs."""
    return config.train.num_steps or plan.steps(config.train.num_epochs)


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
        generator=latent.generator(**config.generator.to_dict(), **kwargs),
        critic=latent.critic(**config.critic.to_dict(), **kwargs),
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
    epoch_examples: int = 1,
) -> Gan:
    """Return the Gan of a config for examples of `shape`; raises UserError.

    `epoch_examples` is the length of an epoch, for rates that follow epochs.
    """
    options = config.gan
    common: dict[str, Any] = {
        "generator_optimizer": optimizer(config, "generator", epoch_examples),
        "critic_optimizer": optimizer(config, "critic", epoch_examples),
        "ema_decay": options.ema_decay,
        "accumulate_steps": config.train.accumulate_steps,
    }
    if options.name == "cyclegan":
        pair_of = domains(config, shape, axis_name)
        return cyclegan(pair_of, **cyclegan_options(options), **common)
    both = players(config, shape, num_classes, axis_name)
    common["sample_batch_norm"] = options.sample_batch_norm
    if options.name == "wgan":
        return wgan(both, clip=options.clip, clip_order=options.clip_order, **common)
    return wgan_gp(
        both,
        penalty=penalty(options),
        penalty_weight=options.penalty_weight,
        drift_weight=options.drift_weight,
        critic_classifier_weight=options.critic_classifier_weight,
        generator_classifier_weight=options.generator_classifier_weight,
        generator_batch_multiple=options.generator_batch_multiple,
        **common,
    )


def cyclegan_options(options: ConfigDict) -> dict[str, Any]:
    """Return the arguments of `cyclegan` that `config.gan` holds.

    The clip belongs to the adversarial loss 'wasserstein', the penalty to 'wgan_gp'.
    """
    chosen: dict[str, Any] = {
        "adversarial": options.adversarial,
        "cycle_weight_a": options.cycle_weight_a,
        "cycle_weight_b": options.cycle_weight_b,
        "identity_weight": options.identity_weight,
        "pool_size": options.pool_size,
    }
    if options.adversarial == "wasserstein":
        chosen["clip"] = options.clip
    if options.adversarial == "wgan_gp":
        chosen["penalty"] = penalty(options)
        chosen["penalty_weight"] = options.penalty_weight
    return chosen


def domains(
    config: ConfigDict, shape: tuple[int, ...], axis_name: str | None = None
) -> Domains:
    """Return both networks of a CycleGAN for images of `shape` (h, w, c).

    The generator 'unet' is the deepest that the images' side allows, unet_256 at most.

    Raises:
        UserError: an unknown network or option, or sides that it cannot take.
    """
    side, channels = shape[0], shape[2]
    kwargs: dict[str, Any] = {
        "axis_name": axis_name,
        "dtype": jnp.bfloat16 if config.train.precision == "bfloat16" else None,
    }
    options = config.generator.to_dict()
    if options["name"] == "unet":
        deepest = min(256, side & -side)  # the largest power of two that divides it
        if deepest < 32:
            raise UserError(f"data.image_size = {side}: unet takes multiples of 32")
        options["name"] = f"unet_{deepest}"
    generator = translation.generator(channels=channels, **options, **kwargs)
    multiple = translation.side_multiple(options["name"])
    if side % multiple:
        raise UserError(
            f"data.image_size = {side}: {options['name']} takes multiples of {multiple}"
        )
    critic = translation.critic(**config.critic.to_dict(), **kwargs)
    shape = (side, shape[1], channels)
    return Domains(generator, critic, shape, config.generator.dropout, axis_name)


def optimizer(config: ConfigDict, player: str, epoch_examples: int) -> Optimizer:
    """Return a player's optimizer with its schedule; a CycleGAN's is by epochs."""
    fields = config.optimizer[player].to_dict()
    if config.gan.name != "cyclegan":
        return optim.optimizer(**fields)
    names = ("name", "learning_rate", "b1", "b2")
    chosen = optim.optimizer(**{n: fields[n] for n in names}, decay_steps=0)
    in_epochs = fields["constant_epochs"] or fields["decay_epochs"]
    unit = "epochs" if in_epochs else "steps"
    schedule = optim.constant_then_decay(
        fields["learning_rate"],
        fields[f"constant_{unit}"],
        fields[f"decay_{unit}"],
        epoch_examples=epoch_examples if in_epochs else 1,
        batch_size=config.data.batch_size if in_epochs else 1,
    )
    return chosen._replace(learning_rate=schedule)


def penalty(options: ConfigDict) -> Callable[..., Penalty]:
    """Return the penalty that `gan.penalty` names, its options closed over."""
    if options.penalty == "r1":
        return penalties.r1
    around = {
        "target": options.penalty_target,
        "one_sided": options.penalty_one_sided,
    }
    if options.penalty == "dragan":
        variance = options.penalty_noise_variance
        return partial(penalties.dragan, noise_variance=variance, **around)
    return partial(penalties.gradient_penalty, **around)


def check_critic(
    config: ConfigDict, shape: tuple[int, ...], num_classes: int, params: dict
) -> None:
    """Raise UserError where a penalised critic mixes the examples of a batch."""
    if "wgan_gp" not in (config.gan.name, config.gan.get("adversarial")):
        return
    count = 2 * math.prod(shape)
    examples = jnp.linspace(-1, 1, count).reshape(2, *shape)
    if config.gan.name == "wgan_gp":
        both = players(config, shape, num_classes)
        penalties.assert_examples_independent(
            lambda x: both.score(params, {}, x)[0], examples
        )
        return
    pair_of = domains(config, shape)
    stats: dict[str, dict] = {name: {} for name in CRITICS}
    penalties.assert_examples_independent(
        lambda x: pair_of.score(params, stats, "a", x)[0].mean(axis=(1, 2)), examples
    )
