"""The networks of CycleGAN by name, as Flax Linen modules.

A generator maps (images [b, h, w, c], keys [b] or None) to images [b, h, w, channels]
in [-1, 1]; a critic maps images to scores [b, h', w'], one for each patch. `keys`, one
for each example, switch dropout on. Both take `train` by keyword, which changes
BatchNorm alone: statistics of the batch, or of the running average. The last layer of
each computes in float32 at least, whatever the `dtype` of the others.
"""

import re
from typing import Any

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.errors import UserError, nearest, unknown
from jaxgan.models.options import check_names, whole
from jaxgan.models.translation import image_layers, patch, resnet, unet

# The options of every generator and of every critic, in the config's order. One that
# does not concern a network is checked and then left out.
GENERATOR_OPTIONS = (
    "width", "norm", "padding", "block", "dropout", "upsample", "initializer", "gain",
)  # fmt: skip
CRITIC_OPTIONS = ("width", "num_layers", "norm", "initializer", "gain")
CRITICS = ("patch", "pixel", "tutorial")
COMMON_GENERATORS = ("resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256")

CHOICES = {
    "norm": image_layers.NORMS,
    "padding": tuple(image_layers.PADDINGS),
    "block": resnet.BLOCKS,
    "upsample": image_layers.UPSAMPLINGS,
    "initializer": image_layers.INITIALIZERS,
}


def generator(
    name: str,
    *,
    channels: int,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options,
) -> nn.Module:
    """Return the generator called `name`.

    Args:
        name: 'resnet_{N}blocks', N at least 1, or 'unet_{S}', S a power of two and 32
            at least: the side of the images that it takes down to one pixel.
        channels: of the images that it makes.
        axis_name: axis of devices over which BatchNorm takes its statistics.
        dtype: type to compute in; None promotes inputs and parameters.
        **options: GENERATOR_OPTIONS, all of them. `width`: channels after the first
            convolution. `norm`: 'instance', 'batch' or 'none'. `padding`: of a ResNet's
            blocks: 'reflect', 'replicate' or 'zero'. `block`: a ResNet's, 'residual' or
            'tutorial'. `dropout`: whether the network has dropout of 1/2. `upsample`:
            'transposed' or 'resize'. `initializer`: 'normal', 'xavier', 'kaiming' or
            'orthogonal'; `gain`: its scale.

    Raises:
        UserError: a name, option or value is unknown, missing or wrong.
    """
    kind, size = _parse(name)
    _check("generator", name, options, GENERATOR_OPTIONS)
    if not whole(channels, 1):
        raise _wrong("generator", "channels", channels)
    common: dict[str, Any] = {
        "channels": channels,
        "axis_name": axis_name,
        "dtype": dtype,
    }
    if kind == "resnet":
        return resnet.Generator(num_blocks=size, **options, **common)
    for option in ("padding", "block"):
        del options[option]
    return unet.Generator(num_downs=size.bit_length() - 1, **options, **common)


def critic(
    name: str, *, axis_name: str | None = None, dtype: Dtype | None = None, **options
) -> nn.Module:
    """Return the critic called `name`, one of CRITICS; arguments as `generator`'s.

    `num_layers` is the number of stride-2 convolutions of 'patch' (upstream's 'basic'
    has 3). 'tutorial' is tutorial 12's, whose `norm` is 'batch'.
    """
    if name not in CRITICS:
        raise unknown("critic.name", name, CRITICS)
    _check("critic", name, options, CRITIC_OPTIONS)
    width, num_layers = options.pop("width"), options.pop("num_layers")
    if name == "patch":
        layers = patch.patch_layers(width, num_layers, options["norm"])
    elif name == "pixel":
        layers = patch.pixel_layers(width, options["norm"])
    else:
        layers = patch.tutorial_layers(width)
    size = 1 if name == "pixel" else 4
    return patch.Critic(layers, size, axis_name=axis_name, dtype=dtype, **options)


def side_multiple(name: str) -> int:
    """Return what both sides of a generator's images have to be a multiple of.

    Raises:
        UserError: there is no such generator.
    """
    kind, size = _parse(name)
    return 4 if kind == "resnet" else size


def _parse(name: str) -> tuple[str, int]:
    """Return ('resnet', blocks) or ('unet', side)."""
    if match := re.fullmatch(r"resnet_([1-9]\d{0,2})blocks", name):
        return "resnet", int(match[1])
    if match := re.fullmatch(r"unet_([1-9]\d{1,4})", name):
        side = int(match[1])
        if side >= 32 and side & (side - 1) == 0:
            return "unet", side
    raise UserError(
        f"generator.name = {name}: unknown; resnet_Nblocks takes any N from 1, unet_S "
        f"any power of two from 32; {nearest(name, COMMON_GENERATORS)}"
    )


def _check(player: str, name: str, given: dict, wanted: tuple[str, ...]) -> None:
    check_names(player, name, given, wanted)
    for option, value in given.items():
        if option in CHOICES:
            if value not in CHOICES[option]:
                raise unknown(f"{player}.{option}", value, CHOICES[option])
        elif not _right(option, value):
            raise _wrong(player, option, value)


def _right(option: str, value: Any) -> bool:
    if option == "dropout":
        return isinstance(value, bool)
    if option == "gain":
        return type(value) in (int, float) and value > 0
    return whole(value, 1)


def _wrong(player: str, option: str, value: Any) -> UserError:
    rules = {"dropout": "True or False", "gain": "a number above 0"}
    rule = rules.get(option, "a whole number, 1 at least")
    return UserError(f"{player}.{option} = {value}: must be {rule}")
