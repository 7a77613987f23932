"""An experiment: everything that a config asks for, read once into plain values."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan import gans, penalties
from jaxgan.data import Dataset, Pair, PairPlan, Plan
from jaxgan.errors import UserError
from jaxgan.experiment import (
    checks,
    latent_family,
    translation_family,
    variants,
)
from jaxgan.experiment.feed import Feed
from jaxgan.experiment.values import section, steps_per_call
from jaxgan.files import storage
from jaxgan.gans.domains import Domains
from jaxgan.gans.players import Players
from jaxgan.penalties import Penalty
from jaxgan.rules import MOST_STEPS
from jaxgan.types import Gan, PyTree

# One module for each family of GANs; all have the same functions.
FAMILIES: dict[gans.Family, ModuleType] = {
    "latent": latent_family,
    "translation": translation_family,
}


@dataclass(frozen=True)
class Experiment:
    """Everything that a config asks for; the loop and the commands use only this.

    Attributes:
        values: {'section.field': value}, complete and checked; for this package only.
        fields: {'section.field': value} as in the config, without defaults; used to
            compare configs.
        config_json: the text of config.json.
        gan_name: `gan.name`.
        family: 'latent' or 'translation'.
        data_name: `data.name`.
        data_dir: `data.dir`.
        seed: seed of all random numbers.
        precision: 'float32', 'tf32' or 'bfloat16'.
        deterministic: whether a GPU must use reproducible kernels.
        batch_size: examples in a critic step, over all devices.
        accumulate_steps: number of micro-batches that a batch is split into.
        num_devices: devices in all processes; 0 for as many as divide the batch.
        wait_seconds: how long to wait for the other processes to connect.
        log_steps: steps between two lines of metrics.
        sample_steps: steps between two pictures; 0 for only the last one.
        checkpoint_steps: steps between two checkpoints; 0 for only the last one.
        keep_checkpoints: how many checkpoints are kept.
        steps_per_call: steps in one call of the compiled function, at most
            `train.steps_per_call`; see `data.calls`.
        init_from: workdir, or weights, to start from; '' for none.
        has_average: whether a moving average of the generator is kept.
    """

    values: dict[str, Any]
    fields: dict[str, Any]
    config_json: str
    gan_name: str
    family: gans.Family
    data_name: str
    data_dir: str
    seed: int
    precision: str
    deterministic: bool
    batch_size: int
    accumulate_steps: int
    num_devices: int
    wait_seconds: float
    log_steps: int
    sample_steps: int
    checkpoint_steps: int
    keep_checkpoints: int
    steps_per_call: int
    init_from: str
    has_average: bool

    def num_steps(self, plan: Plan | PairPlan) -> int:
        """Return the number of training steps, given in steps or in epochs.

        Raises:
            UserError: the epochs have more steps than a run can count.
        """
        epochs = self.values["train.num_epochs"]
        steps = self.values["train.num_steps"] or plan.steps(epochs)
        if steps > MOST_STEPS:
            raise UserError(
                f"train.num_epochs = {epochs}: has {steps:,} steps; must have at most "
                f"{MOST_STEPS:,}"
            )
        return steps

    def load_data(
        self, directory: str | None = None, device_bytes: int = 0
    ) -> Dataset | Pair:
        """Return the data, from `directory` instead of `data.dir` if it is given.

        `device_bytes` is the memory of each device that trains, for data.cache=auto; 0
        if it is the machine's, or if nothing is trained.

        Raises:
            UserError: the data cannot be used.
        """
        values = dict(self.values)
        if directory:
            values["data.dir"] = directory
        for field in values.keys() & {"data.dir", "data.dir_b"}:
            values[field] = storage.expand_home(values[field], field)
        return FAMILIES[self.family].load_data(values, device_bytes)

    def feed(
        self, data: Dataset | Pair, process_index: int = 0, process_count: int = 1
    ) -> Feed:
        """Return the data for the loop, with this process's share of each batch."""
        family = FAMILIES[self.family]
        return family.feed(self.values, data, process_index, process_count)

    def networks(
        self,
        shape: tuple[int, ...],
        num_classes: int = 0,
        axis_name: str | None = None,
    ) -> Players | Domains:
        """Return the modules for examples of `shape`.

        Args:
            shape: (h, w, c) of an image, or (n,) of a point.
            num_classes: number of classes in the data; 0 without labels.
            axis_name: the device axis under pmap, None on one device.

        Raises:
            UserError: a network or option is unknown, a network cannot take this shape,
                or the config asks for classes and the data has none.
        """
        family = FAMILIES[self.family]
        # The modules compute in this type; their parameters stay float32.
        dtype = jnp.bfloat16 if self.precision == "bfloat16" else None
        return family.networks(self.values, shape, num_classes, axis_name, dtype)

    def network_definition(self, player: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the arguments of a player's module, as weight files store them.

        Only for a GAN that translates images, of `shape` (h, w, c).
        """
        return translation_family.network_definition(self.values, player, shape)

    def gan(
        self,
        shape: tuple[int, ...],
        num_classes: int = 0,
        axis_name: str | None = None,
        epoch_examples: int = 1,
    ) -> Gan:
        """Return the Gan for examples of `shape`; `networks` explains the arguments.

        `epoch_examples` is the number of examples in an epoch, for learning rates that
        are scheduled in epochs.
        """
        kind, family = gans.find_gan(self.gan_name), FAMILIES[self.family]
        options = {name: self.values[f"gan.{name}"] for name in kind.fields}
        if "penalty" in options:
            options["penalty"] = penalty_function(section(self.values, "gan"))
        return kind.make(
            self.networks(shape, num_classes, axis_name),
            generator_optimizer=family.optimizer(
                self.values, "generator", epoch_examples
            ),
            critic_optimizer=family.optimizer(self.values, "critic", epoch_examples),
            ema_decay=self.values["gan.ema_decay"],
            accumulate_steps=self.accumulate_steps,
            **family.gan_options(self.values),
            **options,
        )

    def check_critic(
        self, shape: tuple[int, ...], num_classes: int, params: PyTree
    ) -> None:
        """Raise UserError if a penalised critic mixes the examples of a batch.

        `params` are the critic's parameters; `shape` is the shape of one example.
        """
        kind = gans.find_gan(self.gan_name)
        if not kind.is_penalised(section(self.values, "gan")):
            return
        examples = jnp.linspace(-1, 1, 2 * math.prod(shape))
        score = self.networks(shape, num_classes).score_function(params)
        penalties.check_examples_independent(score, examples.reshape(2, *shape))


def build(config: Mapping[str, Any] | ConfigDict) -> Experiment:
    """Return the experiment that a config describes.

    Raises:
        UserError: lists every field that is missing or has a wrong value.
    """
    try:
        given = variants.flatten(config)
        values = checks.check_fields(given)
    except RecursionError as error:
        raise UserError("the config contains itself") from error
    fields = {name: values[name] for name in given}
    return Experiment(
        values=values,
        fields=fields,
        config_json=json.dumps(variants.nest(fields, config), indent=2) + "\n",
        gan_name=values["gan.name"],
        family=gans.find_gan(values["gan.name"]).family,
        data_name=values["data.name"],
        data_dir=values["data.dir"],
        seed=values["train.seed"],
        precision=values["train.precision"],
        deterministic=values["train.deterministic"],
        batch_size=values["data.batch_size"],
        accumulate_steps=values["train.accumulate_steps"],
        num_devices=values["parallel.devices"],
        wait_seconds=values["parallel.wait_seconds"],
        log_steps=values["train.log_steps"],
        sample_steps=values["train.sample_steps"],
        checkpoint_steps=values["train.checkpoint_steps"],
        keep_checkpoints=values["train.keep_checkpoints"],
        steps_per_call=steps_per_call(values),
        init_from=values["train.init_from"],
        has_average=values["gan.ema_decay"] > 0,
    )


def penalty_function(options: Mapping[str, Any]) -> Callable[..., Penalty]:
    """Return the penalty that `gan.penalty` names, with its options bound.

    `options` are the fields of the section `gan`.
    """
    target = {
        "target": options["penalty_target"],
        "one_sided": options["penalty_one_sided"],
    }
    variance = options["penalty_noise_variance"]
    by_name: dict[str, Callable[..., Penalty]] = {
        "gradient_penalty": partial(penalties.gradient_penalty, **target),
        "dragan": partial(penalties.dragan, noise_variance=variance, **target),
        "r1": penalties.r1,
    }
    return by_name[options["penalty"]]
