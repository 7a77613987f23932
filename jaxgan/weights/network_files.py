"""Files of one network's weights: .safetensors with its definition, upstream's .pth.

`variables` are {'params', 'batch_stats'} of a Linen module. `about` says what they are:
{'player': 'generator' or 'critic', 'name': 'a2b', 'b2a', 'a', 'b' or '' for unknown,
'network': the arguments of `models.translation`, and `channels`}.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan.errors import UserError
from jaxgan.models import translation
from jaxgan.types import PyTree
from jaxgan.weights import official_networks, torch_files

# The networks of a CycleGAN, and whose they are.
NAMES = {"a2b": "generator", "b2a": "generator", "a": "critic", "b": "critic"}
# Upstream's D_A judges the images that its G_A makes, which are of domain b.
UPSTREAM_NAMES = {"G_A": "a2b", "G_B": "b2a", "D_A": "b", "D_B": "a"}
KEY = "jaxgan"  # of the metadata


def load(path: str | Path) -> tuple[PyTree, dict[str, Any]]:
    """Return (variables, about) of a file, its arrays as they are stored.

    A file that does not end in .safetensors is read as upstream's, without PyTorch.

    Raises:
        UserError: no such file, a damaged one, one of other things than weights, or
            arrays that do not fit the network; it names the first.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix != ".safetensors":
        tensors = torch_files.read(path)
        try:
            variables, player, network = official_networks.from_torch(tensors)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        name = upstream_name(path, player)
        return variables, {"player": player, "name": name, "network": network}
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no sound safetensors file ({error})") from error
    about = checked_about(path, metadata)
    check_fits(path, arrays, about)
    variables = {"params": {}, "batch_stats": {}}
    return variables | unflatten_dict(arrays, sep="/"), about


def save(path: str | Path, variables: PyTree, about: Mapping[str, Any]) -> None:
    """Write a network as .safetensors; an array is called 'params/LAYER/kernel'.

    Raises:
        UserError: the arrays do not fit `about['network']`.
    """
    arrays = {
        name: np.ascontiguousarray(array)
        for name, array in flatten_dict(variables, sep="/").items()
    }
    check_fits(Path(path), arrays, about)
    content = safetensors.numpy.save(arrays, metadata={KEY: json.dumps(about)})
    Path(path).write_bytes(content)


def load_folder(folder: str | Path) -> dict[str, tuple[PyTree, dict[str, Any]]]:
    """Return {'a2b': (variables, about), ...} of the .safetensors files in a folder.

    The name is the metadata's, or else the file's: a2b.safetensors. Any of the four.

    Raises:
        UserError: a file without a name or of another player, two of one name, none.
    """
    found: dict[str, tuple[PyTree, dict[str, Any]]] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        variables, about = load(path)
        name = about["name"] or path.stem
        if name not in NAMES:
            raise UserError(
                f"{path}: does not say which network it is; call it a2b.safetensors, "
                "or b2a, a, b"
            )
        if about["player"] != NAMES[name]:
            raise UserError(f"{path}: holds a {about['player']}, but is called {name}")
        if name in found:
            raise UserError(f"{path}: holds {name}, as another file there does")
        found[name] = variables, about
    if not found:
        raise UserError(f"{folder}: holds no .safetensors file")
    return found


def module(about: Mapping[str, Any]) -> nn.Module:
    """Return the Linen module of a network; raises UserError for a wrong definition."""
    definition = dict(about["network"])
    if about["player"] == "generator":
        return translation.generator(**definition)
    del definition["channels"]
    return translation.critic(**definition)


def shapes(about: Mapping[str, Any]) -> PyTree:
    """Return the shapes and types of a network's variables; raises UserError."""
    definition = about["network"]
    if about["player"] == "generator":
        side = 2 * translation.side_multiple(definition["name"])
    else:
        side = 2 ** (definition["num_layers"] + 4)
    image = jax.ShapeDtypeStruct((1, side, side, definition["channels"]), np.float32)
    network = module(about)
    return jax.eval_shape(
        lambda key, x: network.init(key, x, train=True), jax.random.key(0), image
    )


def check_fits(
    path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Raise UserError naming the first array that is not the network's."""
    network = about["network"]
    # Compared before as many layers are built.
    if network.get("num_layers", 0) > len(arrays):
        raise UserError(f"{path}: holds fewer arrays than its network has layers")
    wanted = flatten_dict(shapes(about), sep="/")
    for name in sorted(arrays.keys() | wanted.keys()):
        if name not in arrays or name not in wanted:
            what = "lacks" if name in wanted else "has the unknown"
            raise UserError(f"{path}: {what} array {name} for a {network['name']}")
        found, needed = arrays[name], wanted[name].shape
        if found.shape != needed or found.dtype.kind in "iubc":
            raise UserError(
                f"{path}: array {name} is {found.dtype} {found.shape}, "
                f"{network['name']} needs floats {needed}"
            )


def checked_about(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what a file's metadata says of its network; raises UserError."""
    if KEY not in metadata:
        raise UserError(
            f"{path}: its metadata has no network's definition ('{KEY}'); was it "
            "written by jaxgan.convert?"
        )
    try:
        about = json.loads(metadata[KEY])
        player, name, network = (about[key] for key in ("player", "name", "network"))
        whole = [network["channels"], network.get("num_layers", 1)]
        right = (
            player in ("generator", "critic")
            and name in ("", *NAMES)
            and isinstance(network["name"], str)
            and all(type(number) is int and number > 0 for number in whole)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its metadata is damaged ({error!r})") from error
    if not right:
        raise UserError(f"{path}: its metadata names no network of this project's")
    return {"player": player, "name": name, "network": network}


def upstream_name(path: Path, player: str) -> str:
    """Return the network's name that upstream's file name tells: latest_net_G_A.pth."""
    for theirs, ours in UPSTREAM_NAMES.items():
        if path.stem.endswith(f"_net_{theirs}") and NAMES[ours] == player:
            return ours
    return ""
