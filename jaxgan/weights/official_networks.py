"""Upstream's state_dicts as variables of this project's networks, and back.

Upstream is junyanz/pytorch-CycleGAN-and-pix2pix. Its keys tell which network they
belong to (spec/cyclegan.md 1.13).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgan.errors import UserError
from jaxgan.weights.official_keys import BLOCKS, Definition, leaves

Arrays = Mapping[str, np.ndarray]

# Kept by every BatchNorm, and by the InstanceNorm of old versions, which ignored them.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
PREFIXES = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's
# What a trained network no longer tells; upstream's defaults.
INITIALIZER = {"initializer": "normal", "gain": 0.02}


def from_torch(tensors: Arrays) -> tuple[dict[str, Any], str, Definition]:
    """Return a state_dict's variables {'params', 'batch_stats'}, player, definition.

    The player is 'generator' or 'critic'; the definition holds all arguments of
    `models.translation`, and `channels`. What the keys do not tell is upstream's
    default: padding reflect where replicate is possible, no dropout in a U-Net, and
    how the weights were initialised. Running statistics of InstanceNorm are left out.

    Raises:
        UserError: naming the first key that does not fit.
    """
    tensors = {without_prefixes(key): tensor for key, tensor in tensors.items()}
    player, definition = defined(tensors)
    wanted = leaves(definition)
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for key, tensor in tensors.items():
        if key not in wanted:
            if key.endswith(STATISTICS):
                continue
            raise UserError(f"key {key}: does not fit {described(definition)}")
        leaf = wanted[key]
        if tensor.shape != leaf.shape or tensor.dtype.kind in "iub":
            raise UserError(
                f"key {key}: is {tensor.dtype} {tensor.shape}, "
                f"{described(definition)} has floats {leaf.shape}"
            )
        *path, name = leaf.path.split("/")
        node = variables
        for part in path:
            node = node.setdefault(part, {})
        node[name] = leaf.from_torch(tensor)
    if missing := [key for key in wanted if key not in tensors]:
        raise UserError(f"key {missing[0]}: missing, {described(definition)} has it")
    return variables, player, definition


def to_torch(variables: Mapping[str, Any], definition: Definition) -> Arrays:
    """Return upstream's state_dict of a network, the inverse of `from_torch`.

    Raises:
        UserError: upstream has no such network.
    """
    own = {"name": "tutorial", "upsample": "resize"}
    if definition["name"].startswith("resnet"):
        own["block"] = "tutorial"
    for option, value in own.items():
        if definition.get(option) == value:
            raise UserError(
                f"{option} = {value}: upstream has no such network; use .safetensors"
            )
    tensors = {}
    for key, leaf in leaves(definition).items():
        node: Any = variables
        for part in leaf.path.split("/"):
            node = node[part]
        tensors[key] = leaf.to_torch(np.asarray(node))
    return tensors


def padding_assumed(definition: Definition) -> bool:
    """Return whether the keys left open its padding, reflect or replicate."""
    resnet = definition["name"].startswith("resnet")
    return resnet and definition["padding"] == "reflect"


def without_prefixes(key: str) -> str:
    """Return a key without the names of the wrappers around the network."""
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def defined(tensors: Arrays) -> tuple[str, Definition]:
    """Return the player and the definition of the network that has such keys."""
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
        f"key {next(iter(tensors))}: belongs to no network of upstream's CycleGAN"
    )


def resnet_definition(tensors: Arrays) -> Definition:
    """Return the definition of a ResnetGenerator."""
    width, channels = widths(tensors, "model.1.weight")
    groups: dict[str, list[int]] = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(r"(model\.\d+)\.conv_block\.(\d+)\.weight", key)
        if match and tensor.ndim == 4:
            groups.setdefault(match[1], []).append(int(match[2]))
    first = tuple(sorted(next(iter(groups.values()), [])))
    # Of the two paddings with the same keys, reflect comes first in the table.
    kinds = [kind for kind, indices in BLOCKS.items() if indices == first]
    if not kinds:
        found = next(key for key in tensors if ".conv_block." in key)
        raise UserError(f"key {found}: belongs to no block of upstream's")
    padding, dropout = kinds[0]
    return {
        "name": f"resnet_{len(groups)}blocks",
        "channels": channels,
        "width": width,
        "norm": norm(tensors, "model.2", "model.1"),
        "padding": padding,
        "block": "residual",
        "dropout": dropout,
        "upsample": "transposed",
        **INITIALIZER,
    }


def unet_definition(tensors: Arrays) -> Definition:
    """Return the definition of a UnetGenerator."""
    width, channels = widths(tensors, "model.model.0.weight")
    pattern = re.compile(r"model\.model\.1((?:\.model\.3)*)\.model\.\d+\.weight")
    matches = [match for key in tensors if (match := pattern.fullmatch(key))]
    nested = max((match[1].count("3") for match in matches), default=0)
    return {
        "name": f"unet_{2 ** min(nested + 2, 16)}",
        "channels": channels,
        "width": width,
        "norm": norm(tensors, "model.model.1.model.2", "model.model.0"),
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
    width, channels = widths(tensors, f"{root}.0.weight")
    return {
        "name": name,
        "channels": channels,
        "width": width,
        "num_layers": num_layers,
        "norm": norm(tensors, first_norm, f"{root}.2"),
        **INITIALIZER,
    }


def widths(tensors: Arrays, key: str) -> tuple[int, int]:
    """Return the output and input channels of a network's first convolution."""
    if key not in tensors or tensors[key].ndim != 4:
        raise UserError(f"key {key}: missing, or no convolution's weight")
    return tensors[key].shape[0], tensors[key].shape[1]


def norm(tensors: Arrays, layer: str, conv: str) -> str:
    """Return the norm, by its own weights or else by upstream's rule of biases."""
    if f"{layer}.weight" in tensors:
        return "batch"
    return "instance" if f"{conv}.bias" in tensors else "none"


def described(definition: Definition) -> str:
    """Return a definition in a few words."""
    words = [f"{definition['name']} of width {definition['width']}"]
    if definition["name"] == "patch":
        words.append(f"{definition['num_layers']} layers")
    words.append(f"norm {definition['norm']}")
    if definition["name"].startswith("resnet"):
        words.append(f"padding {definition['padding']}")
        words.append("dropout" if definition["dropout"] else "no dropout")
    return ", ".join([*words, f"{definition['channels']} channels"])
