"""The networks of CycleGAN by name, as Flax Linen modules.

A generator maps (images [b, h, w, c], keys [b] or None) to images [b, h, w, channels]
in [-1, 1]; a critic maps images to scores [b, h', w'], one for each patch. `keys`, one
for each example, switch dropout on. Both take `train` by keyword. It changes only
BatchNorm, which takes its statistics from the batch (True) or from the running average.
The last layer of each computes in float32 at least, whatever the `dtype` of the others.
"""

import re
from typing import Any

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.errors import UserError, nearest, unknown
from jaxgan.models.options import Options, check_options, check_value
from jaxgan.models.translation import image_layers, patch, resnet, unet
from jaxgan.rules import GAIN, NUM_LAYERS, TRUE_OR_FALSE, WIDTH

# All generators have the same options, and so have all critics. One that does not
# concern a network is checked and then left out.
GENERATOR_OPTIONS: Options = {
    "width": WIDTH,
    "norm": image_layers.NORMS,
    "padding": tuple(image_layers.PADDINGS),
    "block": resnet.BLOCKS,
    "dropout": TRUE_OR_FALSE,
    "upsample": image_layers.UPSAMPLINGS,
    "initializer": image_layers.INITIALIZERS,
    "gain": GAIN,
}
CRITIC_OPTIONS: Options = {
    "width": WIDTH,
    "num_layers": NUM_LAYERS,
    "norm": image_layers.NORMS,
    "initializer": image_layers.INITIALIZERS,
    "gain": GAIN,
}
CRITICS = ("patch", "pixel", "tutorial")
COMMON_GENERATORS = ("resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256")


def generator(
    name: str,
    *,
    channels: int,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options: Any,
) -> nn.Module:
    """Return the generator called `name`.

    Args:
        name: 'resnet_{N}blocks', N at least 1, or 'unet_{S}', S a power of two and 32
            at least: the side of the images that it halves down to one pixel.
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
    check_options("generator", name, options, GENERATOR_OPTIONS)
    check_value("generator.channels", channels, WIDTH)
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
    name: str,
    *,
    axis_name: str | None = None,
    dtype: Dtype | None = None,
    **options: Any,
) -> nn.Module:
    """Return the critic called `name`, one of CRITICS.

    Args:
        name: which network.
        axis_name: axis of devices over which BatchNorm takes its statistics.
        dtype: type to compute in; None promotes inputs and parameters.
        **options: CRITIC_OPTIONS, all of them. `num_layers` is the number of stride-2
            convolutions of 'patch', 3 in the official code's 'basic'; the other critics
            have no such choice. The tutorial has `norm` 'batch'. The others are as
            `generator`'s.

    Raises:
        UserError: a name, option or value is unknown, missing or wrong.
    """
    if name not in CRITICS:
        raise unknown("critic.name", name, CRITICS)
    check_options("critic", name, options, CRITIC_OPTIONS)
    width, num_layers = options.pop("width"), options.pop("num_layers")
    if name == "patch":
        layers = patch.patch_layers(width, num_layers)
    elif name == "pixel":
        layers = patch.pixel_layers(width)
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
    """Return ('resnet', number of blocks) or ('unet', side)."""
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
