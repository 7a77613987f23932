"""Files of weights from a stranger: every forged, broken or mutated one is one line."""

import copy
import json
import random
import struct
import time
import warnings

import numpy as np
import pytest
import safetensors.numpy

from jaxgan.errors import UserError
from jaxgan.weights import network_files, official_networks, torch_files

RESNET = {
    "name": "resnet_1blocks", "channels": 3, "width": 2, "norm": "instance",
    "padding": "reflect", "block": "residual", "dropout": False,
    "upsample": "transposed", "initializer": "normal", "gain": 0.02,
}  # fmt: skip
PATCH = {
    "name": "patch", "channels": 3, "width": 2, "num_layers": 3, "norm": "instance",
    "initializer": "normal", "gain": 0.02,
}  # fmt: skip
ABOUT = {"player": "generator", "name": "a2b", "network": RESNET}
FIRST = "params/block_0/conv_0/bias"  # the first array in the order of the names


def random_arrays():
    """Return the arrays of RESNET by name, as a .safetensors file has them."""
    rng = np.random.default_rng(0)
    leaves = network_files.flatten_dict(network_files.shapes(ABOUT), sep="/")
    return {
        name: rng.normal(size=leaf.shape).astype(np.float32)
        for name, leaf in leaves.items()
    }


ARRAYS = random_arrays()


def packed(about=ABOUT, arrays=ARRAYS):
    """Return the bytes of a .safetensors file with any metadata."""
    text = about if isinstance(about, str) else json.dumps(about)
    return safetensors.numpy.save(arrays, metadata={"jaxgan": text})


SOUND = packed()
LENGTH = int.from_bytes(SOUND[:8], "little")
HEADER, DATA = json.loads(SOUND[8 : 8 + LENGTH]), SOUND[8 + LENGTH :]


def raw(header, data=DATA):
    """Return the bytes of a .safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_first(**changes):
    """Return a file whose header says something else of its first array."""
    return raw(HEADER | {FIRST: HEADER[FIRST] | changes})


def renamed(name):
    """Return a file whose first array has another name."""
    return raw({name if key == FIRST else key: x for key, x in HEADER.items()})


def defined(player="generator", **changes):
    """Return a file whose definition differs; values may be anything."""
    network = (RESNET if player == "generator" else PATCH) | changes
    return packed({"player": player, "name": "", "network": network})


def with_number(number):
    """Return a file whose first array has this number."""
    return packed(arrays=ARRAYS | {FIRST: np.full_like(ARRAYS[FIRST], number)})


def nested(depth):
    """Return metadata that is too deep for Python's parser of JSON."""
    brackets = "[" * depth + "]" * depth
    return packed(f'{{"player": "generator", "name": "", "network": {brackets}}}')


DAMAGED, NONE = "no sound safetensors file", "is that of no network"
FORGED = {
    "an empty file": (b"", DAMAGED),
    "no header": (bytes(8), DAMAGED),
    "a header of 2^63 bytes": (struct.pack("<Q", 2**63), DAMAGED),
    "a header of 100 MB": (struct.pack("<Q", 99_999_999) + b"{", DAMAGED),
    "a deep header": (raw(b'{"a": ' + b"[" * 100_000), DAMAGED),
    "the type zz": (with_first(dtype="zz"), DAMAGED),
    "another type's size": (with_first(dtype="BF16"), DAMAGED),
    "a negative offset": (with_first(data_offsets=[-4, 28]), DAMAGED),
    "offsets turned round": (with_first(data_offsets=[32, 0]), DAMAGED),
    "offsets behind the end": (with_first(data_offsets=[0, 10**12]), DAMAGED),
    "overlapping offsets": (with_first(data_offsets=[32, 64]), DAMAGED),
    "a shape that overflows": (with_first(shape=[2**63] * 4), DAMAGED),
    "NaN in the header": (raw({"a": float("nan")}), DAMAGED),
    "metadata of a number": (raw({"__metadata__": {"jaxgan": 5}}), DAMAGED),
    "metadata twice": (
        raw(json.dumps(HEADER).encode()[:-1] + b', "__metadata__": {}}'),
        DAMAGED,
    ),
    "no metadata": (raw({"__metadata__": None}, b""), "has no definition"),
    "deep metadata": (nested(100_000), "metadata is damaged (RecursionError"),
    "less deep metadata": (nested(900), "network"),
    "float8": (
        with_first(dtype="F8_E4M3", shape=[32]),
        f"array {FIRST} is F8_E4M3; must be F64, F32, F16, BF16",
    ),
    "complex numbers": (with_first(dtype="C64", shape=[4]), "is C64; must be"),
    "a list of players": (packed(ABOUT | {"player": ["a"]}), "names no network"),
    "a list for a network": (packed(ABOUT | {"network": []}), NONE),
    "no name": (packed(ABOUT | {"network": {"channels": 3}}), NONE),
    "a list for a name": (defined(name=["a"]), NONE),
    "a width of 2^63": (defined(width=2**63), "a whole number from 1 to 1,000,000"),
    "a width of 1e400": (
        packed(json.dumps(ABOUT).replace('"width": 2', '"width": 1e400')),
        NONE,
    ),
    "2^70 channels": (defined(channels=2**70), "a whole number from 1 to 1,000,000"),
    "a width of text": (defined(width="4"), "generator.width = 4: must be a whole"),
    "a gain that is NaN": (defined(gain=float("nan")), NONE),
    "a gain that is infinite": (defined(gain=float("inf")), NONE),
    "an axis of devices": (defined(axis_name="device"), NONE),
    "an unknown type": (defined(dtype="xx"), NONE),
    "a long name": (defined(name="x" * 10**6), NONE),
    "a long option": (defined(**{"x" * 10**6: 1}), NONE),
    "999 blocks": (defined(name="resnet_999blocks"), "fewer arrays"),
    "no layers": (packed(ABOUT | {"player": "critic"}), NONE),
    "250 layers": (defined("critic", num_layers=250), NONE),
    "a half layer": (defined("critic", num_layers=2.5), NONE),
    "NaN": (with_number(np.nan), "has 8 of 8 numbers that are NaN, infinite"),
    "infinity": (with_number(np.inf), "NaN, infinite or beyond float32"),
    "a terminal's codes in a name": (renamed("\x1b[31m"), r"array \x1b[31m for"),
    "a terminal's codes in an option": (defined(**{"\x1b]0;": 1}), r"\x1b]0;"),
    "a lone surrogate": (defined(name="\ud800"), r"\ud800"),
    "an array with no name": (renamed(""), "has the unknown array"),
    "a folder's name": (renamed("params/block_0/conv_0"), "has the unknown array"),
    "a name of a million letters": (renamed("q" * 10**6), "array"),
}


def refused(path, content):
    """Return the line with which the bytes of a file are refused."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        network_files.load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable()
    assert len(line) < 600 + len(str(path))
    return line


@pytest.mark.parametrize("name", FORGED)
def test_forged_safetensors_files_are_one_line(name, tmp_path):
    content, words = FORGED[name]
    started = time.monotonic()
    assert words in refused(tmp_path / "x.safetensors", content)
    # None builds a network of the size that it asks for; on a busy machine.
    assert time.monotonic() - started < 5


def test_a_folder_and_a_missing_file(tmp_path):
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "x", "no such file")):
        with pytest.raises(UserError, match=words):
            network_files.load(path)


def test_numbers_beyond_float32(tmp_path):
    """Also in files of the official code, whose names are ours then."""
    wide = {name: array.astype(np.float64) * 1e300 for name, array in ARRAYS.items()}
    assert "beyond float32" in refused(
        tmp_path / "x.safetensors", packed(arrays=ARRAYS | wide)
    )
    variables = network_files.unflatten_dict(ARRAYS, sep="/")
    tensors = dict(official_networks.to_torch(variables, RESNET))
    tensors["model.1.bias"] = np.full(2, np.nan, np.float32)
    torch_files.write(tmp_path / "made.pth", tensors)
    line = refused(tmp_path / "x.pth", (tmp_path / "made.pth").read_bytes())
    assert "array params/input/bias has 2 of 2 numbers that are NaN" in line


def test_a_state_dict_with_more_layers_than_can_be_built(tmp_path):
    """Forged so that every key fits; its shapes would overflow."""
    definition = PATCH | {"num_layers": 80, "width": 1}
    tensors = {
        key: np.zeros(leaf.shape, np.float32)
        for key, leaf in official_networks.leaves(definition).items()
    }
    torch_files.write(tmp_path / "made.pth", tensors)
    content = (tmp_path / "made.pth").read_bytes()
    assert NONE in refused(tmp_path / "x.pth", content)
    key = "model.2.\x1b[31mweight"
    torch_files.write(tmp_path / "made.pth", tensors | {key: np.zeros(1)})
    content = (tmp_path / "made.pth").read_bytes()
    assert r"key model.2.\x1b[31mweight" in refused(tmp_path / "x.pth", content)


def mutated(content, rng, start, end):
    """Return bytes with one to five changes between two positions."""
    forged = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        position = rng.randrange(start, min(end, len(forged) - 20))
        change = rng.randrange(5)
        if change == 0:
            forged[position] = rng.randrange(256)
        elif change == 1:
            forged[position] ^= 1 << rng.randrange(8)
        elif change == 2:
            del forged[position : position + rng.randint(1, 19)]
        elif change == 3:
            forged[position:position] = rng.randbytes(rng.randint(1, 8))
        else:
            forged[position : position + 1] = rng.choice(b'09[{"-eN,\0\xff').to_bytes()
    return bytes(forged)


def load_or_refuse(path, content):
    """Load the bytes of a file; return whether it was sound."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    line = ""
    with warnings.catch_warnings(action="error"):
        try:
            network_files.load(path)
        except UserError as error:
            line = str(error)
    assert line.isprintable()
    return not line


@pytest.mark.parametrize(
    "form", ["safetensors", "zip", pytest.param("old", marks=pytest.mark.slow)]
)
def test_mutated_files_are_read_or_refused(form, tmp_path):
    """No other error and no warning, whatever is changed. 7,000 of each were tried."""
    rng = random.Random(0)
    variables = network_files.unflatten_dict(ARRAYS, sep="/")
    tensors = official_networks.to_torch(variables, RESNET)
    path = tmp_path / "sound.pth"
    if form == "safetensors":
        content, end = SOUND, 8 + LENGTH
    elif form == "zip":
        torch_files.write(path, tensors)
        content = path.read_bytes()
        end = len(content)  # its pickle is behind the numbers
    else:
        torch = pytest.importorskip("torch")
        tensors = {key: torch.tensor(x.copy()) for key, x in tensors.items()}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
        content = path.read_bytes()
        end = content.index(b"]q") + 500
    path = tmp_path / ("x.safetensors" if form == "safetensors" else "x.pth")
    assert load_or_refuse(path, content)
    sound = 0
    for number in range(400):
        # Most changes are in the header, where they do most.
        last = len(content) if number % 4 == 0 else end
        sound += load_or_refuse(path, mutated(content, rng, 0, last))
    assert 0 < sound < 200


def test_mutated_definitions_are_read_or_refused(tmp_path):
    """Values of other types and sizes, in any field of the metadata."""
    rng = random.Random(0)
    values = [
        None, True, 0, -1, 1, 2, 16, 17, 2**31, 2**63, 10**300, 0.5, 1e400, "", "patch",
        "unet_32", "unet_65536", "resnet_9blocks", "batch", [], [1], {}, {"a": []},
    ]  # fmt: skip
    path = tmp_path / "x.safetensors"
    for _ in range(150):
        about = copy.deepcopy(ABOUT)
        if rng.random() < 0.5:
            about |= {"player": "critic", "network": dict(PATCH)}
        for _ in range(rng.randint(1, 3)):
            part = about["network"] if rng.random() < 0.9 else about
            if isinstance(part, dict):
                part[rng.choice([*part, "other"])] = rng.choice(values)
        load_or_refuse(path, packed(about))
