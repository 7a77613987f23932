"""State_dicts of the official CycleGAN code as variables of our networks, and back.

The official code is junyanz/pytorch-CycleGAN-and-pix2pix. The keys of a state_dict tell
which network it belongs to; the rules are in docs/papers.md, "CycleGAN: weight files".
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgan.errors import UserError
from jaxgan.weights.official_keys import (
    CONV_INDICES,
    Definition,
    input_channels,
    leaves,
)

Arrays = Mapping[str, np.ndarray]

# Running statistics: BatchNorm uses them. InstanceNorm of old PyTorch versions stored
# them as well, but ignored them.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
# A trained network does not tell how it was initialised: the official defaults.
INITIALIZER = {"initializer": "normal", "gain": 0.02}


def from_torch(tensors: Arrays) -> tuple[dict[str, Any], str, Definition]:
    """Return (variables, player, definition) of an official state_dict.

    `variables` are {'params', 'batch_stats'} of our network, `player` is 'generator' or
    'critic', and `definition` holds all arguments of `models.translation`, and
    `channels`, and `input_channels` of a generator that takes images of another number
    of channels than it makes. What the keys do not tell is the official default:
    padding reflect where replicate has the same keys, no dropout in a U-Net, and the
    initialisation. Running statistics of InstanceNorm are left out.

    Raises:
        UserError: a key or an array does not fit; the message names the first.
    """
    tensors = {strip_prefixes(key): tensor for key, tensor in tensors.items()}
    player, definition = detect_network(tensors)
    wanted = leaves(definition)
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for key, tensor in tensors.items():
        if key not in wanted:
            if key.endswith(STATISTICS):
                continue
            raise UserError(f"key {key}: does not fit {description(definition)}")
        leaf = wanted[key]
        if tensor.shape != leaf.shape or tensor.dtype.kind in "iub":
            raise UserError(
                f"key {key}: is {tensor.dtype} {tensor.shape}, "
                f"{description(definition)} has floats {leaf.shape}"
            )
        *path, name = leaf.path.split("/")
        node = variables
        for part in path:
            node = node.setdefault(part, {})
        node[name] = leaf.from_torch(tensor)
    if missing := [key for key in wanted if key not in tensors]:
        raise UserError(f"key {missing[0]}: missing, {description(definition)} has it")
    return variables, player, definition


def to_torch(variables: Mapping[str, Any], definition: Definition) -> Arrays:
    """Return the official state_dict of a network, the inverse of `from_torch`.

    Raises:
        UserError: the official code has no such network.
    """
    ours_only = {"name": "tutorial", "upsample": "resize"}
    if definition["name"].startswith("resnet"):
        ours_only["block"] = "tutorial"
    for option, value in ours_only.items():
        if definition.get(option) == value:
            raise UserError(
                f"{option} = {value}: the official code has no such network; use "
                ".safetensors"
            )
    tensors = {}
    for key, leaf in leaves(definition).items():
        node: Any = variables
        for part in leaf.path.split("/"):
            node = node[part]
        tensors[key] = leaf.to_torch(np.asarray(node))
    return tensors


def padding_is_assumed(definition: Definition) -> bool:
    """Return whether the keys left open which padding: reflect or replicate."""
    resnet = definition["name"].startswith("resnet")
    return resnet and definition["padding"] == "reflect"


def strip_prefixes(key: str) -> str:
    """Return a key without the names of the wrappers around its network."""
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def detect_network(tensors: Arrays) -> tuple[str, Definition]:
    """Return the player and the definition of the network that has these keys."""
    if any(".conv_block." in key for key in tensors):
        return "generator", resnet_definition(tensors)
    if any(key.startswith("model.model.") for key in tensors):
        return "generator", unet_definition(tensors)
    if any(key.startswith("net.") for key in tensors):
        return "critic", critic_definition(tensors, "net", "pixel", "net.3", 3)
    convs = [key for key in tensors if re.fullmatch(r"model\.\d+\.weight", key)]
    if convs:
        count = sum(tensors[key].ndim == 4 for key in convs)
        return "critic", critic_definition(
            tensors, "model", "patch", "model.3", max(count - 2, 1)
        )
    raise UserError(
        f"key {next(iter(tensors))}: belongs to no network of the official code"
    )


def resnet_definition(tensors: Arrays) -> Definition:
    """Return the definition of a ResnetGenerator."""
    width, inputs = width_and_channels(tensors, "model.1.weight")
    groups: dict[str, list[int]] = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(r"(model\.\d+)\.conv_block\.(\d+)\.weight", key)
        if match and tensor.ndim == 4:
            groups.setdefault(match[1], []).append(int(match[2]))
    first = tuple(sorted(next(iter(groups.values()), [])))
    # Reflect and replicate have the same indices; reflect comes first in the table.
    kinds = [kind for kind, indices in CONV_INDICES.items() if indices == first]
    if not kinds:
        found = next(key for key in tensors if ".conv_block." in key)
        raise UserError(f"key {found}: belongs to no block of the official code")
    padding, dropout = kinds[0]
    last = tensors.get(f"model.{len(groups) + 17}.weight")
    return {
        "name": f"resnet_{len(groups)}blocks",
        **generator_channels(inputs, last, 0),
        "width": width,
        "norm": detect_norm(tensors, "model.2", "model.1"),
        "padding": padding,
        "block": "residual",
        "dropout": dropout,
        "upsample": "transposed",
        **INITIALIZER,
    }


def unet_definition(tensors: Arrays) -> Definition:
    """Return the definition of a UnetGenerator."""
    width, inputs = width_and_channels(tensors, "model.model.0.weight")
    pattern = re.compile(r"model\.model\.1((?:\.model\.3)*)\.model\.\d+\.weight")
    matches = [match for key in tensors if (match := pattern.fullmatch(key))]
    nested = max((match[1].count("3") for match in matches), default=0)
    return {
        "name": f"unet_{2 ** min(nested + 2, 16)}",
        **generator_channels(inputs, tensors.get("model.model.3.weight"), 1),
        "width": width,
        "norm": detect_norm(tensors, "model.model.1.model.2", "model.model.0"),
        "padding": "reflect",
        "block": "residual",
        "dropout": False,
        "upsample": "transposed",
        **INITIALIZER,
    }


def critic_definition(
    tensors: Arrays, root: str, name: str, first_norm: str, num_layers: int
) -> Definition:
    """Return the definition of an NLayerDiscriminator or a PixelDiscriminator."""
    width, channels = width_and_channels(tensors, f"{root}.0.weight")
    return {
        "name": name,
        "channels": channels,
        "width": width,
        "num_layers": num_layers,
        "norm": detect_norm(tensors, first_norm, f"{root}.2"),
        **INITIALIZER,
    }


def width_and_channels(tensors: Arrays, key: str) -> tuple[int, int]:
    """Return a network's width and channels, of its first convolution's weight."""
    if key not in tensors or tensors[key].ndim != 4:
        raise UserError(f"key {key}: missing, or no convolution's weight")
    return tensors[key].shape[0], tensors[key].shape[1]


def generator_channels(
    inputs: int, last: np.ndarray | None, axis: int
) -> dict[str, int]:
    """Return `channels` of a generator, and `input_channels` where they differ.

    Args:
        inputs: channels of the images that it takes.
        last: weight of its last convolution. Without one `from_torch` refuses the
            network, by the key that is missing.
        axis: the axis of `last` that has the channels which it makes.
    """
    if last is None or last.ndim != 4 or last.shape[axis] == inputs:
        return {"channels": inputs}
    return {"channels": last.shape[axis], "input_channels": inputs}


def detect_norm(tensors: Arrays, layer: str, conv: str) -> str:
    """Return the norm, told by its weights, or else by the bias of the convolution.

    Only BatchNorm has weights. Without BatchNorm, a convolution has a bias only before
    InstanceNorm (`use_bias` in the official models/networks.py).
    """
    if f"{layer}.weight" in tensors:
        return "batch"
    return "instance" if f"{conv}.bias" in tensors else "none"


def description(definition: Definition) -> str:
    """Return a definition in a few words, for people."""
    words = [f"{definition['name']} of width {definition['width']}"]
    if definition["name"] == "patch":
        words.append(f"{definition['num_layers']} layers")
    words.append(f"norm {definition['norm']}")
    if definition["name"].startswith("resnet"):
        words.append(f"padding {definition['padding']}")
        words.append("dropout" if definition["dropout"] else "no dropout")
    inputs, outputs = input_channels(definition), definition["channels"]
    channels = f"{outputs}" if inputs == outputs else f"{inputs} to {outputs}"
    return ", ".join([*words, f"{channels} channels"])
