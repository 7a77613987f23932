"""GANs that translate images between two domains: data, networks, rates, pictures.

`latent_family` has the same functions for the other GANs.
"""

import functools
import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, optim
from jaxgan.data import Pair, PairPlan
from jaxgan.data.cache import PackedImages
from jaxgan.data.fingerprint import fingerprint
from jaxgan.errors import UserError
from jaxgan.experiment import pictures
from jaxgan.experiment.feed import Feed, describe_device_data, stack_examples
from jaxgan.experiment.values import Values, section, steps_per_call
from jaxgan.gans.domains import Domains
from jaxgan.models import translation
from jaxgan.runtime.device_data import DeviceData, gather_crops
from jaxgan.types import DomainImages, Optimizer

NUM_TRANSLATIONS = 6  # images of each domain in a picture
DEEPEST_UNET = 256
NUM_TILES = 70  # of day_night


def load_data(values: Values, device_bytes: int = 0) -> Pair:
    """Return the two domains that the section `data` names; see `data.load_pair`."""
    return data.load_pair(
        values["data.name"],
        dir=values["data.dir"],
        dir_b=values["data.dir_b"],
        resize=values["data.resize"],
        image_size=values["data.image_size"],
        channels=values["data.channels"],
        cache=values["data.cache"],
        device_bytes=device_bytes,
    )


def make_plan(values: Values, pair: Pair) -> PairPlan:
    """Return the plan of which images, crops and flips make up which step."""
    return PairPlan(
        num_a=len(pair.train_a),
        num_b=len(pair.train_b),
        batch_size=values["data.batch_size"],
        seed=values["train.seed"],
        flip=values["data.flip"],
    )


def feed(values: Values, pair: Pair, process_index: int, process_count: int) -> Feed:
    """Return the data for the loop, from two unpaired domains."""
    plan = make_plan(values, pair)
    fixed = heldout_images(pair, NUM_TRANSLATIONS)
    sizes = [len(pair.train_a), len(pair.train_b)]
    sizes += [len(pair.heldout_a), len(pair.heldout_b)]
    device_data, make_batches = None, data.pair_batches
    if pair.on_device:
        arrays = {"a": pixels_of(pair.train_a), "b": pixels_of(pair.train_b)}
        gather = functools.partial(gather_crops, size=pair.shape[0])
        device_data, make_batches = DeviceData(arrays, gather), data.crop_batches
    return Feed(
        shape=pair.shape,
        num_classes=0,
        plan=plan,
        batches=functools.partial(
            make_batches,
            pair,
            plan,
            process_index=process_index,
            process_count=process_count,
        ),
        heldout=heldout_images(pair, values["eval.heldout_examples"]),
        fixed=fixed,
        picture=lambda drawn: pictures.translations(fixed, drawn),
        about=[
            "{:,} and {:,} training, {:,} and {:,} held-out images of domains a and b, "
            "of shape {}".format(*sizes, pair.shape),
            *describe_device_data(device_data),
            *pair.notes,
        ],
        device_data=device_data,
        fingerprint=functools.cache(lambda: fingerprint(pair)),
    )


def pixels_of(source: data.Source) -> np.ndarray:
    """Return the pixels of all images of a decoded source, uint8 [pixels, c]."""
    packed = cast(PackedImages, source)
    return packed.pixels.reshape(-1, packed.shapes[0][2])


def heldout_images(pair: Pair, count: int) -> DomainImages:
    """Return at most `count` held-out images of each domain, evenly spread.

    The truth is included if it is known: image i of each domain is then the true
    translation of image i of the other.
    """

    def some(source: data.Source) -> np.ndarray:
        numbers = np.linspace(0, len(source) - 1, min(count, len(source)))
        return stack_examples(source, np.rint(numbers).astype(int))["image"]

    a, b = some(pair.heldout_a), some(pair.heldout_b)
    return DomainImages(a, b, b, a) if pair.truth else DomainImages(a, b)


def known_shape(values: Values) -> tuple[int, ...] | None:
    """Return the shape of an image if it is known before the data is read.

    The number of channels may be too low.
    """
    side = values["data.image_size"]
    return (side, side, values["data.channels"] or 1) if side else None


def network_inputs(networks: Domains) -> dict[str, tuple[Any, ...]]:
    """Return the inputs of both modules, for two images, as shapes and types."""
    images = jax.ShapeDtypeStruct((2, *networks.shape), jnp.float32)
    return {"generator": (images,), "critic": (images,)}


def example_bytes(values: Values, shape: tuple[int, ...]) -> int:
    """Return the bytes that one image of each domain takes in all batches of a call."""
    return 2 * math.prod(shape) * steps_per_call(values)


def data_bytes(values: Values, shape: tuple[int, ...]) -> int:
    """Return the bytes of the decoded images; 0 unless known before they are read."""
    side = max(values["data.resize"], values["data.image_size"])
    return NUM_TILES * 3 * side**2 if values["data.name"] == "day_night" else 0


def networks(
    values: Values,
    shape: tuple[int, ...],
    num_classes: int,
    axis_name: str | None,
    dtype: Any,
) -> Domains:
    """Return the modules for images of `shape` (h, w, c); see `Experiment.networks`."""
    del num_classes
    height, width, channels = shape
    common: dict[str, Any] = {"axis_name": axis_name, "dtype": dtype}
    options = section(values, "generator")
    options["name"] = resolve_unet(options["name"], height)
    generator = translation.generator(channels=channels, **options, **common)
    multiple = translation.side_multiple(options["name"])
    # At 4 pixels a ResNet's blocks have one pixel, which InstanceNorm sets to 0.
    least = max(multiple, 8)
    if height % multiple or height < least:
        raise UserError(
            f"data.image_size = {height}: {options['name']} takes multiples of "
            f"{multiple} from {least}"
        )
    critic = translation.critic(**section(values, "critic"), **common)
    return Domains(
        generator,
        critic,
        (height, width, channels),
        values["generator.dropout"],
        axis_name,
        values["train.remat"],
    )


def resolve_unet(name: str, side: int) -> str:
    """Return `name`; for 'unet' return 'unet_S', the deepest for images of this side.

    Raises:
        UserError: no U-Net takes images of this side.
    """
    if name != "unet":
        return name
    largest_power = side & -side  # the largest power of 2 that divides the side
    if largest_power < 32:
        raise UserError(f"data.image_size = {side}: unet takes multiples of 32")
    return f"unet_{min(DEEPEST_UNET, largest_power)}"


def network_definition(
    values: Values, player: str, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the arguments of a player's module, as weight files store them."""
    definition = section(values, player) | {"channels": shape[-1]}
    return definition | {"name": resolve_unet(definition["name"], shape[0])}


def optimizer(values: Values, player: str, epoch_examples: int) -> Optimizer:
    """Return a player's optimizer, with a constant rate and then a linear decay.

    Raises:
        UserError: lengths are in epochs, and these are too long to count in int32.
    """
    fields = section(values, f"optimizer.{player}")
    names = ("name", "learning_rate", "b1", "b2")
    chosen = optim.optimizer(**{n: fields[n] for n in names}, decay_steps=0)
    in_epochs = fields["constant_epochs"] or fields["decay_epochs"]
    unit = "epochs" if in_epochs else "steps"
    if in_epochs and epoch_examples * values["data.batch_size"] >= 2**31:
        # `optim.constant_then_decay` multiplies the two in int32.
        raise UserError(
            f"optimizer.{player}.decay_epochs = {fields['decay_epochs']}: an epoch of "
            f"{epoch_examples:,} examples in batches of {values['data.batch_size']:,} "
            "is too long; give decay_steps"
        )
    schedule = optim.constant_then_decay(
        fields["learning_rate"],
        fields[f"constant_{unit}"],
        fields[f"decay_{unit}"],
        epoch_examples=epoch_examples if in_epochs else 1,
        batch_size=values["data.batch_size"] if in_epochs else 1,
    )
    return chosen._replace(learning_rate=schedule)


def gan_options(values: Values) -> dict[str, Any]:
    """Return the arguments that every GAN of this family takes."""
    return {}
