"""GANs that draw examples from latents: their data, networks, rates and pictures.

`translation_family` has the same functions for the other GANs.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, optim
from jaxgan.data import ArraySource, Dataset, Plan
from jaxgan.data.fingerprint import fingerprint
from jaxgan.data.formats import embedded
from jaxgan.data.plan import LONG_CRITIC_STEPS
from jaxgan.errors import UserError
from jaxgan.experiment import pictures
from jaxgan.experiment.feed import Feed, describe_device_data, stack_examples
from jaxgan.experiment.values import Values, section, steps_per_call
from jaxgan.gans.players import Players
from jaxgan.models import latent
from jaxgan.runtime.device_data import DeviceData, gather_examples
from jaxgan.types import Batch, LatentInputs, Optimizer

# In one picture: a grid of 8 by 8 images, or enough points to show each mode.
NUM_SAMPLES, NUM_POINTS = 64, 512
NUM_DIGITS, DIGITS_SIDE = 1797, 8  # scikit-learn's


def load_data(values: Values, device_bytes: int = 0) -> Dataset:
    """Return the data set that the section `data` names; see `data.load`."""
    return data.load(
        values["data.name"],
        dir=values["data.dir"],
        image_size=values["data.image_size"],
        channels=values["data.channels"],
        labels=values["gan.conditional"],
        cache=values["data.cache"],
        device_bytes=device_bytes,
    )


def make_plan(values: Values, num_examples: int) -> Plan:
    """Return the plan of which examples make up which step."""
    return Plan(
        num_examples=num_examples,
        batch_size=values["data.batch_size"],
        seed=values["train.seed"],
        n_critic=values["gan.n_critic"],
        critic_start=values["gan.critic_start"],
    )


def feed(
    values: Values, dataset: Dataset, process_index: int, process_count: int
) -> Feed:
    """Return the data for the loop, from one set of examples."""
    plan = make_plan(values, len(dataset.train))
    count = min(values["eval.heldout_examples"], len(dataset.heldout))
    heldout = stack_examples(dataset.heldout, np.arange(count))
    num_classes = dataset.num_classes if values["gan.conditional"] else 0
    count = NUM_POINTS if len(dataset.shape) == 1 else NUM_SAMPLES

    device_data = None
    make_batches: Callable[..., Iterator[Batch]]
    make_batches = functools.partial(data.batches, dataset.train)
    if dataset.on_device:
        source = cast(ArraySource, dataset.train)
        arrays = {"image": source.images, "label": source.labels}
        device_data = DeviceData(arrays, gather_examples)
        make_batches = data.index_batches

    def picture(drawn: dict[str, Any]) -> np.ndarray:
        samples = np.asarray(drawn["samples"])
        return pictures.samples(samples, values["data.value_range"], heldout["image"])

    return Feed(
        shape=dataset.shape,
        num_classes=dataset.num_classes,
        plan=plan,
        batches=functools.partial(
            make_batches,
            plan,
            process_index=process_index,
            process_count=process_count,
        ),
        heldout=heldout,
        fixed=LatentInputs(classes_in_turn(num_classes, count)),
        picture=picture,
        about=[
            f"{len(dataset.train):,} training and {len(dataset.heldout):,} held-out "
            f"examples of shape {dataset.shape}",
            *describe_device_data(device_data),
            *dataset.notes,
        ],
        device_data=device_data,
        fingerprint=functools.cache(lambda: fingerprint(dataset)),
    )


def classes_in_turn(num_classes: int, count: int) -> np.ndarray:
    """Return labels int32 [count]: the classes in turn, or zeros without classes."""
    return (np.arange(count) % max(1, num_classes)).astype(np.int32)


def known_shape(values: Values) -> tuple[int, ...] | None:
    """Return the shape of an example if it is known before the data is read.

    The number of channels may be too low.
    """
    name, channels = values["data.name"], values["data.channels"] or 1
    if name in embedded.TOY_SETS:
        return (2,)
    side = values["data.image_size"] or (DIGITS_SIDE if name == "digits" else 0)
    return (side, side, channels) if side else None


def network_inputs(networks: Players) -> dict[str, tuple[Any, ...]]:
    """Return the inputs of both modules, for two examples, as shapes and types."""
    latents = jax.ShapeDtypeStruct((2, networks.latent_size), jnp.float32)
    labels = jax.ShapeDtypeStruct((2,), jnp.int32)
    examples = jax.ShapeDtypeStruct((2, *networks.shape), jnp.float32)
    return {"generator": (latents, labels), "critic": (examples,)}


def example_bytes(values: Values, shape: tuple[int, ...]) -> int:
    """Return the bytes that one example of a batch takes in all batches of a call."""
    batches = values["gan.n_critic"] * steps_per_call(values)
    if values["gan.critic_start"]:
        batches = max(batches, LONG_CRITIC_STEPS)
    return batches * math.prod(shape) * (1 if len(shape) == 3 else 4)


def data_bytes(values: Values, shape: tuple[int, ...]) -> int:
    """Return the bytes of the decoded images; 0 unless known before they are read."""
    return NUM_DIGITS * math.prod(shape) if values["data.name"] == "digits" else 0


def networks(
    values: Values,
    shape: tuple[int, ...],
    num_classes: int,
    axis_name: str | None,
    dtype: Any,
) -> Players:
    """Return the modules for examples of `shape`; see `Experiment.networks`."""
    if values["gan.conditional"] and not num_classes:
        raise UserError(
            f"gan.conditional = True: data.name = {values['data.name']} has no labels"
        )
    options: dict[str, Any] = {
        "shape": shape,
        "num_classes": num_classes if values["gan.conditional"] else 0,
        "axis_name": axis_name,
        "dtype": dtype,
    }
    return Players(
        generator=latent.generator(**section(values, "generator"), **options),
        critic=latent.critic(**section(values, "critic"), **options),
        shape=shape,
        latent=values["gan.latent"],
        latent_size=values["gan.latent_size"],
        num_classes=options["num_classes"],
        value_range=values["data.value_range"],
        axis_name=axis_name,
        remat=values["train.remat"],
    )


def optimizer(values: Values, player: str, epoch_examples: int) -> Optimizer:
    """Return a player's optimizer; its rate decays linearly over steps."""
    del epoch_examples
    names = ("name", "learning_rate", "b1", "b2", "decay_steps")
    fields = section(values, f"optimizer.{player}")
    return optim.optimizer(**{name: fields[name] for name in names})


def gan_options(values: Values) -> dict[str, Any]:
    """Return the arguments that every GAN of this family takes."""
    return {"sample_batch_norm": values["gan.sample_batch_norm"]}
