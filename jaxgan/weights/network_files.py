"""Files of one network's weights: .safetensors, or .pth of the official code.

A .safetensors file holds the network's definition as well.

`variables` are {'params', 'batch_stats'} of a Linen module. `about` says what they are:
{'player': 'generator' or 'critic', 'name': 'a2b', 'b2a', 'a', 'b', or '' if unknown,
'network': the arguments of `models.translation`, and `channels`; of a generator that
takes another number of channels than it makes also `input_channels`}.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan.errors import UserError, printable
from jaxgan.models import translation
from jaxgan.types import PyTree
from jaxgan.weights import official_networks, torch_files
from jaxgan.weights.file_checks import check_finite, check_size, is_definition
from jaxgan.weights.official_keys import input_channels

# The networks of a CycleGAN: name -> player.
NAMES = {"a2b": "generator", "b2a": "generator", "a": "critic", "b": "critic"}
# The official code's names -> ours. Its D_A judges the images that G_A makes, and these
# are of domain b (docs/papers.md, "CycleGAN: names").
OFFICIAL_NAMES = {"G_A": "a2b", "G_B": "b2a", "D_A": "b", "D_B": "a"}
METADATA_KEY = "jaxgan"
# The types that arrays of weights may have, by their names in a .safetensors file.
DTYPES = {
    "F64": np.dtype("f8"),
    "F32": np.dtype("f4"),
    "F16": np.dtype("f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def load(path: str | Path) -> tuple[PyTree, dict[str, Any]]:
    """Return (variables, about) of a file; arrays keep the type of the file.

    A file that does not end in .safetensors is read as one of the official code.
    PyTorch is not needed.

    Raises:
        UserError: there is no such file, it is damaged, it holds anything other than
            weights, an array does not fit the network, or a number in it is not finite;
            the message names the first.
    """
    path = Path(path)
    if not path.is_file():
        is_folder = path.is_dir()
        raise UserError(f"{path}: {'is a folder' if is_folder else 'no such file'}")
    if path.suffix.lower() == ".safetensors":
        variables, about = _load_safetensors(path)
    else:
        tensors = torch_files.read(path)
        try:
            variables, player, network = official_networks.from_torch(tensors)
        except UserError as error:
            raise UserError(f"{path}: {printable(error, 500)}") from error
        name = name_from_official_file(path, player)
        about = {"player": player, "name": name, "network": network}
        check_definition(path, about)
    check_finite(path, variables)
    return variables, about


def _load_safetensors(path: Path) -> tuple[PyTree, dict[str, Any]]:
    """Return (variables, about) of a .safetensors file, checked before it is read."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            about = read_about(path, file.metadata() or {})
            headers = {}
            for name in file.keys():  # noqa: SIM118
                header = file.get_slice(name)
                dtype, shape = header.get_dtype(), tuple(header.get_shape())
                if dtype not in DTYPES:
                    raise UserError(
                        f"{path}: array {printable(name)} is {printable(dtype)}; must "
                        f"be {', '.join(DTYPES)}"
                    )
                headers[name] = jax.ShapeDtypeStruct(shape, DTYPES[dtype])
            check_fits(path, headers, about)
            arrays = {name: file.get_tensor(name) for name in headers}
    except safetensors.SafetensorError as error:
        raise UserError(
            f"{path}: no sound safetensors file ({printable(error)})"
        ) from error
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    return variables | unflatten_dict(arrays, sep="/"), about


def save(path: str | Path, variables: PyTree, about: Mapping[str, Any]) -> None:
    """Write a network as .safetensors, its arrays by names like 'params/LAYER/kernel'.

    Raises:
        UserError: an array does not fit `about['network']`.
    """
    arrays = {
        name: np.ascontiguousarray(array)
        for name, array in flatten_dict(variables, sep="/").items()
    }
    check_fits(Path(path), arrays, about)
    content = safetensors.numpy.save(arrays, metadata={METADATA_KEY: json.dumps(about)})
    Path(path).write_bytes(content)


def module(about: Mapping[str, Any]) -> nn.Module:
    """Return the Linen module of a network.

    Raises:
        UserError: the definition is wrong.
    """
    definition = dict(about["network"])
    if about["player"] == "generator":
        definition.pop("input_channels", None)
        return translation.generator(**definition)
    del definition["channels"]
    return translation.critic(**definition)


def shapes(about: Mapping[str, Any]) -> PyTree:
    """Return a network's variables as `jax.ShapeDtypeStruct`s.

    Raises:
        UserError: the definition is wrong.
    """
    return _traced_shapes(json.dumps(about, sort_keys=True))


# Tracing a network takes up to 0.4 s on two cores, and reading a file and writing it
# again asks twice. The key is text because a forged definition may not be hashable.
@functools.lru_cache(maxsize=32)
def _traced_shapes(about_text: str) -> PyTree:
    about = json.loads(about_text)
    definition = about["network"]
    if about["player"] == "generator":
        side = 2 * translation.side_multiple(definition["name"])
    else:
        side = 2 ** (definition["num_layers"] + 4)
    shape = (1, side, side, input_channels(definition))
    image = jax.ShapeDtypeStruct(shape, np.float32)
    network = module(about)
    return jax.eval_shape(
        lambda key, x: network.init(key, x, train=True), jax.random.key(0), image
    )


def check_fits(
    path: Path,
    arrays: Mapping[str, np.ndarray | jax.ShapeDtypeStruct],
    about: Mapping[str, Any],
) -> None:
    """Raise UserError naming the first array that does not fit the network."""
    network = about["network"]
    check_size(path, arrays, network)
    wanted = flatten_dict(shapes(about), sep="/")
    for name in sorted(arrays.keys() | wanted.keys()):
        if name not in arrays or name not in wanted:
            what = "lacks" if name in wanted else "has the unknown"
            raise UserError(
                f"{path}: {what} array {printable(name)} for a {network['name']}"
            )
        found, needed = arrays[name], wanted[name].shape
        if found.shape != needed or found.dtype.kind in "iubc":
            raise UserError(
                f"{path}: array {name} is {found.dtype} {found.shape}, "
                f"{network['name']} needs floats {needed}"
            )


def read_about(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what a file's metadata says of its network; raises UserError."""
    if METADATA_KEY not in metadata:
        raise UserError(
            f"{path}: its metadata has no definition of a network ('{METADATA_KEY}'); "
            "was it written by jaxgan.convert?"
        )
    try:
        about = json.loads(metadata[METADATA_KEY])
        about = {key: about[key] for key in ("player", "name", "network")}
        known = about["player"] in ("generator", "critic") and about["name"] in (
            "",
            *NAMES,
        )
    # A RecursionError comes of many nested brackets.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: its metadata is damaged ({printable(repr(error))})"
        ) from error
    if not known:
        raise UserError(f"{path}: its metadata names no network of jaxgan")
    check_definition(path, about)
    return about


def check_definition(path: Path, about: Mapping[str, Any]) -> None:
    """Raise UserError if a file's definition of its network is wrong."""
    if not is_definition(about["player"], about["network"]):
        raise UserError(f"{path}: its definition is that of no network of jaxgan")
    try:
        module(about)
    except UserError as error:
        raise UserError(f"{path}: its network: {printable(error, 500)}") from error


def name_from_official_file(path: Path, player: str) -> str:
    """Return the name that a file like latest_net_G_A.pth tells, or ''."""
    for official_name, name in OFFICIAL_NAMES.items():
        if path.stem.endswith(f"_net_{official_name}") and NAMES[name] == player:
            return name
    return ""
