"""PyTorch's files of weights, read and written without PyTorch.

There are two formats. The zip (`torch.save` since PyTorch 1.6) has one pickle that
describes the tensors, and one member for each storage. Before 2020 a file was a row of
five pickles, followed by the storages. `torch_pickle` reads the pickles of both, and
accepts tensors and nothing else.
"""

import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxgan.errors import UserError, printable
from jaxgan.weights import torch_pickle
from jaxgan.weights.torch_pickle import (
    HOLDS_MORE,
    Storage,
    Tensor,
    UnreadableFile,
)

# The first two pickles of the old format (torch/serialization.py).
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Parts of a pickle that is written: its start, its end, `collections.OrderedDict()`.
START, END = pickle.PROTO + b"\2", pickle.SETITEMS + pickle.STOP
EMPTY = b"ccollections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
# What Python's zipfile raises for forged headers.
DAMAGED_ZIP = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError,
    struct.error, OverflowError, OSError,
)  # fmt: skip


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a state_dict by name, as read-only views of its storages.

    Shapes and types are those of the file; bfloat16 is ml_dtypes' type. Nothing in the
    file is executed.

    Raises:
        UserError: the file has neither format, is damaged, or holds anything that is
            not a tensor.
    """
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        try:
            if start == b"PK\3\4":
                tree, storages = _read_zip(file)
            elif start[:1] == pickle.PROTO:
                tree, storages = _read_pickles(file)
            else:
                raise UnreadableFile("is no PyTorch file: neither a zip nor a pickle")
            return {key: _view(tensor, storages) for key, tensor in tree.items()}
        except UnreadableFile as error:
            raise UserError(f"{path}: {error}") from error


def _read_zip(file: BinaryIO) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Return the tensors of the zip format by name, and its storages by key."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            # PyTorch never compresses. Compressed members could be far larger than the
            # file, and fill the memory.
            if any(m.compress_type != zipfile.ZIP_STORED for m in members.values()):
                raise UnreadableFile(
                    f"is a compressed zip, TorchScript perhaps; {HOLDS_MORE}"
                )
            if sum(m.file_size for m in members.values()) > _length(file):
                raise UnreadableFile("is a damaged zip (members overlap)")
            roots = [name[:-8] for name in members if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise UnreadableFile(
                    "is a zip, but none of PyTorch's: it has no data.pkl"
                )
            root = roots[0]
            order = f"{root}byteorder"
            if order in members and archive.read(order) != b"little":
                raise UnreadableFile("was written by a big-endian machine")
            pickled = io.BytesIO(archive.read(f"{root}data.pkl"))
            tree = _state_dict(torch_pickle.load(pickled))
            storages = {}
            for storage in _storages(tree).values():
                name = f"{root}data/{storage.key}"
                if name not in members:
                    raise UnreadableFile(f"lacks its storage {printable(storage.key)}")
                storages[storage.key] = _flat(storage, archive.read(name))
            return tree, storages
    except DAMAGED_ZIP as error:
        raise UnreadableFile(f"is a damaged zip ({printable(error)})") from error


def _read_pickles(file: BinaryIO) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Return the tensors of the old format by name, and its storages by key."""
    if torch_pickle.load(file) != MAGIC or torch_pickle.load(file) != PROTOCOL:
        raise UnreadableFile(
            "is a pickle, but none of PyTorch's: it has no magic number"
        )
    machine = torch_pickle.load(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise UnreadableFile("was written by a big-endian machine")
    tree = _state_dict(torch_pickle.load(file))
    keys = torch_pickle.load(file)
    described = _storages(tree)
    known = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not known or sorted(keys) != sorted(described):
        raise UnreadableFile("is damaged: its storages are not those of its tensors")
    storages = {}
    for storage in (described[key] for key in keys):
        length = storage.elements * storage.dtype.itemsize
        if int.from_bytes(file.read(8), "little") != storage.elements:
            raise UnreadableFile(
                f"is damaged: its storage {printable(storage.key)} has another length"
            )
        if length > _length(file) - file.tell():
            raise UnreadableFile(
                f"is cut short in its storage {printable(storage.key)}"
            )
        storages[storage.key] = _flat(storage, file.read(length))
    return tree, storages


def _state_dict(tree: Any) -> dict[str, Tensor]:
    """Return what a pickle describes, checked to be a dictionary of tensors."""
    if not isinstance(tree, dict) or not tree:
        kind = "empty" if isinstance(tree, dict) else type(tree).__name__
        raise UnreadableFile(f"holds no state_dict ({kind})")
    for key, value in tree.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise UnreadableFile(
                f"holds {kind} under the key {printable(key)}, where a state_dict has "
                "a tensor; save only net.state_dict()"
            )
    return tree


def _storages(tree: Mapping[str, Tensor]) -> dict[str, Storage]:
    """Return the storages of all tensors by key; tensors may share one."""
    found: dict[str, Storage] = {}
    for tensor in tree.values():
        if found.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise UnreadableFile(
                f"has two storages of the key {printable(tensor.storage.key)}"
            )
    return found


def _flat(storage: Storage, content: bytes) -> np.ndarray:
    """Return a storage's numbers as an array of one dimension."""
    if len(content) != storage.elements * storage.dtype.itemsize:
        raise UnreadableFile(
            f"is damaged: its storage {printable(storage.key)} has {len(content):,} "
            f"bytes, not {storage.elements:,} numbers of {storage.dtype.itemsize}"
        )
    return np.frombuffer(content, storage.dtype)


def _view(tensor: Tensor, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a view of a tensor's storage; `torch_pickle` has checked its bounds."""
    flat = storages[tensor.storage.key]
    strides = [flat.itemsize * stride for stride in tensor.stride]
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], tensor.size, strides, writeable=False
    )


def _length(file: BinaryIO) -> int:
    """Return a file's number of bytes."""
    return os.fstat(file.fileno()).st_size


def write(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a state_dict that `torch.load(path, weights_only=True)` reads.

    The file has the zip format. The same arrays give the same bytes.
    """
    kinds = {dtype: name for name, dtype in torch_pickle.STORAGE_TYPES.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def member(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)

        items = b""
        for number, (name, array) in enumerate(tensors.items()):
            kind = kinds[array.dtype]
            items += _opcodes(name) + _tensor_opcodes(str(number), kind, array.shape)
            member(f"data/{number}", np.ascontiguousarray(array).tobytes())
        member("data.pkl", START + EMPTY + pickle.MARK + items + END)
        member("byteorder", b"little")
        member("version", b"3\n")


def _opcodes(value: Any) -> bytes:
    """Return the opcodes that put a number, string or tuple onto the stack."""
    return pickle.dumps(value, protocol=2)[2:-1]


def _tensor_opcodes(key: str, kind: str, shape: tuple[int, ...]) -> bytes:
    """Return the opcodes of a contiguous tensor that has a storage of its own."""
    strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    storage = (
        pickle.MARK + _opcodes("storage") + f"ctorch\n{kind}\n".encode()
        + _opcodes(key) + _opcodes("cpu") + _opcodes(math.prod(shape))
        + pickle.TUPLE + pickle.BINPERSID
    )  # fmt: skip
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK + storage
        + _opcodes(0) + _opcodes(shape) + _opcodes(strides)
        + pickle.NEWFALSE + EMPTY + pickle.TUPLE + pickle.REDUCE
    )  # fmt: skip
