"""The networks of WGAN and WGAN-GP by name, as Flax Linen modules.

CycleGAN's are in `models.translation`.

A generator maps (latents [b, z], labels int32 [b] or None) to examples [b, *shape]. A
critic maps examples to scores [b], or to (scores [b], logits [b, num_classes]) where it
has classes. Both take `train` by keyword, which changes BatchNorm alone: statistics of
the batch, or of the running average. The last layer of each computes in float32 at
least, whatever the `dtype` of the others.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.errors import UserError, unknown
from jaxgan.models import layers
from jaxgan.models.latent import dcgan, dcgan_5x5, mlp, resnet32, resnet64
from jaxgan.models.options import check_names, whole

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp.Generator,
    "dcgan": dcgan.Generator,
    "dcgan_5x5": dcgan_5x5.Generator,
    "resnet32": resnet32.Generator,
    "resnet64": resnet64.Generator,
}
CRITICS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp.Critic,
    "dcgan": dcgan.Critic,
    "dcgan_5x5": dcgan_5x5.Critic,
    "resnet32": resnet32.Critic,
    "resnet64": resnet64.Critic,
}

# The options whose values are names; norm and output depend on the network.
CHOICES: dict[tuple[str, str, str], Any] = {
    ("generator", "mlp", "activation"): layers.ACTIVATIONS,
    ("generator", "mlp", "output"): layers.OUTPUTS,
    ("generator", "mlp", "initializer"): mlp.INITS,
    ("critic", "mlp", "activation"): layers.ACTIVATIONS,
    ("critic", "mlp", "initializer"): mlp.INITS,
    ("generator", "dcgan_5x5", "norm"): ("batch", "none"),
    ("generator", "dcgan_5x5", "output"): ("tanh", "sigmoid"),
    ("critic", "dcgan_5x5", "norm"): ("none", "layer", "batch"),
}

# What the networks with convolutions take: the rule in words, and as a function.
SIDES: dict[str, tuple[str, Callable[[int], bool]]] = {
    "dcgan": (
        "is a power of two, 16 at least",
        lambda side: side >= 16 and side & (side - 1) == 0,
    ),
    "dcgan_5x5": (
        "is one of " + ", ".join(map(str, dcgan_5x5.DEPTHS)),
        dcgan_5x5.DEPTHS.__contains__,
    ),
    "resnet32": ("is 32", lambda side: side == 32),
    "resnet64": ("is 64", lambda side: side == 64),
}


def generator(
    name: str,
    *,
    shape: tuple[int, ...],
    num_classes: int = 0,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options,
) -> nn.Module:
    """Return the generator called `name`, a key of GENERATORS.

    Args:
        name: which network.
        shape: of one example: (h, w, c), or (n,) for points.
        num_classes: more than 0 makes it conditional, where it can be.
        axis_name: axis of devices over which BatchNorm takes its statistics.
        dtype: type to compute in; None promotes inputs and parameters.
        **options: the fields of the config's `generator`, all of them.

    Raises:
        UserError: a name, option or value is unknown, missing or wrong, or the network
            cannot make this shape or cannot be conditional.
    """
    return _network("generator", name, options, shape, num_classes, axis_name, dtype)


def critic(
    name: str,
    *,
    shape: tuple[int, ...],
    num_classes: int = 0,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options,
) -> nn.Module:
    """Return the critic called `name`, a key of CRITICS; arguments as `generator`'s.

    With num_classes > 0 it returns logits of the classes beside the scores.
    """
    return _network("critic", name, options, shape, num_classes, axis_name, dtype)


def _network(player, name, options, shape, num_classes, axis_name, dtype):
    """Check everything that a user can get wrong and build the module."""
    networks = GENERATORS if player == "generator" else CRITICS
    if name not in networks:
        raise unknown(f"{player}.name", name, networks)
    network = networks[name]
    common = {
        "shape": tuple(shape),
        "num_classes": num_classes,
        "axis_name": axis_name,
        "dtype": dtype,
    }
    fields = [f.name for f in dataclasses.fields(network)]  # type: ignore[arg-type]
    wanted = [f for f in fields if f not in (*common, "parent", "name")]
    _check_options(player, name, options, wanted)
    _check_shape(player, name, shape)
    if num_classes > 0 and "num_classes" not in fields:
        raise UserError(
            f"{player}.name = {name}: cannot be conditional, found {num_classes} "
            "classes; valid: resnet32"
        )
    if "hidden" in options:
        options = {**options, "hidden": tuple(options["hidden"])}
    return network(**options, **{k: v for k, v in common.items() if k in fields})


def _check_options(player: str, name: str, options: dict, wanted: list[str]) -> None:
    check_names(player, name, options, wanted)
    for option, value in options.items():
        choices = CHOICES.get((player, name, option))
        if choices is not None:
            if value not in tuple(choices):
                raise unknown(f"{player}.{option}", value, choices)
        elif reason := _wrong(option, value):
            raise UserError(f"{player}.{option} = {value}: {reason}")


def _wrong(option: str, value) -> str:
    """Return why the value of a numeric option is wrong, or nothing."""
    if option == "width" and not whole(value, 1):
        return "must be a whole number, 1 at least"
    if option == "extra_layers" and not whole(value, 0):
        return "must be a whole number, 0 at least"
    if option == "batch_norm" and not isinstance(value, bool):
        return "must be True or False"
    if option == "hidden" and not (
        isinstance(value, (tuple, list)) and all(whole(width, 1) for width in value)
    ):
        return "must be a tuple of whole numbers, each 1 at least"
    return ""


def _check_shape(player: str, name: str, shape: tuple[int, ...]) -> None:
    if name not in SIDES:
        return
    rule, takes = SIDES[name]
    if len(shape) == 3 and shape[0] == shape[1] and takes(shape[0]):
        return
    found = "x".join(map(str, shape[:2])) if len(shape) == 3 else f"shape {shape}"
    raise UserError(
        f"{player}.name = {name}: takes square images whose side {rule}, found {found}"
    )
