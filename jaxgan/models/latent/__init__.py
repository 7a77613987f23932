"""The networks of WGAN and WGAN-GP by name, as Flax Linen modules.

CycleGAN's are in `models.translation`.

A generator maps (latents [b, z], labels int32 [b] or None) to examples [b, *shape]. A
critic maps examples to scores [b], or to (scores [b], logits [b, num_classes]) if it
has classes. Both take `train` by keyword. It changes only BatchNorm, which takes its
statistics from the batch (True) or from the running average. The last layer of each
computes in float32 at least, whatever the `dtype` of the others.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.errors import UserError, unknown
from jaxgan.models import layers
from jaxgan.models.latent import dcgan, dcgan_5x5, mlp, resnet32, resnet64
from jaxgan.models.options import Options, check_options
from jaxgan.rules import EXTRA_LAYERS, TRUE_OR_FALSE, WIDTH, WIDTHS, Rule


class Entry(NamedTuple):
    """A network in the tables below.

    Attributes:
        module: built with the options, and with those of the arguments shape,
            num_classes, axis_name and dtype that are among its fields.
        options: the fields of the config's section, but for the name.
        sides: of the square images that the network takes; None takes any example.
    """

    module: type[nn.Module]
    options: Options
    sides: Rule | None = None


ACTIVATIONS, OUTPUTS = tuple(layers.ACTIVATIONS), tuple(layers.OUTPUTS)
MLP: Options = {
    "hidden": WIDTHS,
    "activation": ACTIVATIONS,
    "initializer": mlp.INITIALIZERS,
}
DCGAN: Options = {
    "width": WIDTH,
    "batch_norm": TRUE_OR_FALSE,
    "extra_layers": EXTRA_LAYERS,
}
RESNET: Options = {"width": WIDTH}

GENERATORS = {
    "mlp": Entry(mlp.Generator, {**MLP, "output": OUTPUTS}),
    "dcgan": Entry(dcgan.Generator, DCGAN, dcgan.SIDES),
    "dcgan_5x5": Entry(
        dcgan_5x5.Generator,
        {
            "width": WIDTH,
            "norm": ("batch", "none"),
            "output": ("tanh", "sigmoid"),
        },
        dcgan_5x5.SIDES,
    ),
    "resnet32": Entry(resnet32.Generator, RESNET, resnet32.SIDES),
    "resnet64": Entry(resnet64.Generator, RESNET, resnet64.SIDES),
}
CRITICS = {
    "mlp": Entry(mlp.Critic, MLP),
    "dcgan": Entry(dcgan.Critic, DCGAN, dcgan.SIDES),
    "dcgan_5x5": Entry(
        dcgan_5x5.Critic,
        {"width": WIDTH, "norm": ("none", "layer", "batch")},
        dcgan_5x5.SIDES,
    ),
    "resnet32": Entry(resnet32.Critic, RESNET, resnet32.SIDES),
    "resnet64": Entry(resnet64.Critic, RESNET, resnet64.SIDES),
}


def generator(
    name: str,
    *,
    shape: tuple[int, ...],
    num_classes: int = 0,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options: Any,
) -> nn.Module:
    """Return the generator called `name`, a key of GENERATORS.

    Args:
        name: which network.
        shape: of one example: (h, w, c), or (n,) for points.
        num_classes: if it is above 0, the generator is conditional.
        axis_name: axis of devices over which BatchNorm takes its statistics.
        dtype: type to compute in; None promotes inputs and parameters.
        **options: the fields of the config's section `generator`, all of them.

    Raises:
        UserError: a name, option or value is unknown, missing or wrong, or the network
            cannot make this shape or cannot be conditional.
    """
    arguments = _arguments(shape, num_classes, axis_name, dtype)
    return _build("generator", GENERATORS, name, options, arguments)


def critic(
    name: str,
    *,
    shape: tuple[int, ...],
    num_classes: int = 0,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options: Any,
) -> nn.Module:
    """Return the critic called `name`, a key of CRITICS; arguments as `generator`'s.

    With num_classes > 0 it returns logits of the classes beside the scores.
    """
    arguments = _arguments(shape, num_classes, axis_name, dtype)
    return _build("critic", CRITICS, name, options, arguments)


def _arguments(
    shape: tuple[int, ...],
    num_classes: int,
    axis_name: str | None,
    dtype: Dtype | None,
) -> dict[str, Any]:
    return {
        "shape": tuple(shape),
        "num_classes": num_classes,
        "axis_name": axis_name,
        "dtype": dtype,
    }


def _build(
    player: str,
    table: dict[str, Entry],
    name: str,
    options: dict[str, Any],
    arguments: dict[str, Any],
) -> nn.Module:
    """Check everything that a user can get wrong and build the module."""
    if name not in table:
        raise unknown(f"{player}.name", name, table)
    entry = table[name]
    # The shape first: whoever changes only the name to a network for other images is
    # told so, and not of options that would not help.
    if entry.sides is not None:
        _check_sides(player, name, arguments["shape"], entry.sides)
    others = [table[other].options for other in table if other != name]
    check_options(player, name, options, entry.options, others)
    num_classes = arguments["num_classes"]
    if num_classes > 0 and "num_classes" not in _fields(entry.module):
        able = [n for n, e in table.items() if "num_classes" in _fields(e.module)]
        raise UserError(
            f"{player}.name = {name}: cannot be conditional, found {num_classes} "
            f"classes; valid: {', '.join(able)}"
        )
    if "hidden" in options:  # a list in config files; fields of modules are hashed
        options = {**options, "hidden": tuple(options["hidden"])}
    taken = _fields(entry.module) & arguments.keys()
    return entry.module(**options, **{name: arguments[name] for name in taken})


def _fields(module: type[nn.Module]) -> set[str]:
    return {field.name for field in dataclasses.fields(module)}


def _check_sides(player: str, name: str, shape: tuple[int, ...], sides: Rule) -> None:
    if len(shape) == 3 and shape[0] == shape[1] and sides.allows(shape[0]):
        return
    found = "x".join(map(str, shape[:2])) if len(shape) == 3 else f"shape {shape}"
    raise UserError(
        f"{player}.name = {name}: takes square images whose side is {sides.words}, "
        f"found {found}"
    )
