"""Restricted unpickler for PyTorch's files of weights.

A pickle is a program for a small stack machine, which can call any function of any
module. This unpickler executes only the opcodes that PyTorch's `save` of a state_dict
has ever written. It imports nothing: the few classes and functions that a state_dict
names are replaced by stand-ins that describe tensors.

It builds on `pickle._Unpickler`, the standard library's Unpickler in the form that is
written in Python, because its opcodes can be replaced. The form in C is not safe. It
hashes dictionary keys of any type: a tuple of tuples, 40 deep, took more than 20 s. Its
memo is an array as long as the largest index in the file: 2^32 - 1 was a MemoryError.
"""

import io
import math
import pickle
import pickletools
import struct
import warnings
from typing import Any, BinaryIO, ClassVar, NamedTuple

import ml_dtypes
import numpy as np

from jaxgan.errors import printable

STORAGE_TYPES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
# BINSTRING and SHORT_BINSTRING were written by Python 2.
OPCODES = (
    pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE,
    pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1,
    pickle.BINUNICODE, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.EMPTY_TUPLE,
    pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.BINPUT,
    pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL,
    pickle.BINPERSID, pickle.REDUCE,
)  # fmt: skip
# What the stack machine raises for a pickle that was cut, flipped or forged.
DAMAGED_PICKLE = (
    pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, TypeError,
    ValueError, struct.error,
)  # fmt: skip
# A state_dict's pickle has some hundred bytes for each tensor. The bound also bounds
# the memory, of which each byte of a forged pickle can take about a hundred.
MAX_PICKLE_BYTES = 2**22
HOLDS_MORE = (
    "it holds more than tensors, and nothing of it was executed; save only "
    "net.state_dict()"
)


class UnreadableFile(Exception):
    """Why a file is not read, in words that follow its name."""


class Storage(NamedTuple):
    """One flat array of a file: its key there, its type and number of elements."""

    key: str
    dtype: np.dtype
    elements: int


class Tensor(NamedTuple):
    """A tensor inside a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def load(stream: BinaryIO) -> Any:
    """Return what the pickle at `stream` describes; reads to its end and no further.

    Raises:
        UnreadableFile: an opcode, global or call that no state_dict has, a tensor that
            is not inside its storage, or a damaged or very long pickle.
    """
    start = stream.tell()
    content = stream.read(MAX_PICKLE_BYTES + 1)
    unpickler = StateDictUnpickler(content)
    try:
        value = unpickler.load()
    except DAMAGED_PICKLE as error:
        if unpickler.stream.tell() > MAX_PICKLE_BYTES:
            reason = f"is longer than {MAX_PICKLE_BYTES:,} bytes"
        else:
            reason = f"is damaged ({printable(error) or 'it has no end'})"
        raise UnreadableFile(f"its pickle {reason}") from error
    stream.seek(start + unpickler.stream.tell())
    return value


class StateDict(dict[str, Any]):
    """Stand-in for dict and OrderedDict; its keys are strings.

    PyTorch under Python 2 called OrderedDict with a list of pairs. The pairs are moved
    out of it, because copies of one long list could fill the memory.
    """

    __slots__ = ()

    def __init__(self, pairs: list[Any] | None = None) -> None:
        super().__init__()
        if pairs is not None:
            if not isinstance(pairs, list):
                raise UnreadableFile("its pickle makes an OrderedDict of no list")
            for key, value in pairs:
                self[key] = value
            pairs.clear()

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str):
            raise UnreadableFile(
                "its pickle has a dictionary whose keys are no strings"
            )
        super().__setitem__(key, value)


def rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *_: Any
) -> Tensor:
    """Return a tensor, checked to lie inside its storage and not to repeat it.

    What follows (requires_grad, hooks, metadata) says nothing of its numbers.
    """
    tuples = isinstance(size, tuple) and isinstance(stride, tuple)
    if not tuples or not isinstance(storage, Storage):
        raise UnreadableFile("its pickle has a tensor without storage, size or strides")
    if len(size) != len(stride) or len(size) > 8:
        raise UnreadableFile(f"its pickle has a tensor of {len(size)} dimensions")
    if any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        raise UnreadableFile("its pickle has a tensor whose sizes are no whole numbers")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if not 0 < math.prod(size) <= storage.elements or last >= storage.elements:
        raise UnreadableFile(
            f"its pickle has a tensor of size {printable(size)}, strides "
            f"{printable(stride)} and offset {printable(offset)} that does not fit its "
            f"storage of {printable(storage.elements)} numbers"
        )
    return Tensor(storage, offset, size, stride)


def rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    """Return the tensor of a parameter."""
    if not isinstance(tensor, Tensor):
        raise UnreadableFile("its pickle has a parameter that is no tensor")
    return tensor


# torch._utils._rebuild_tensor_v2 has seven.
MOST_ARGUMENTS = 7
STAND_INS: dict[tuple[str, str], Any] = {
    **{("torch", name): dtype for name, dtype in STORAGE_TYPES.items()},
    ("collections", "OrderedDict"): StateDict,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,  # before PyTorch 0.4
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
}


class StateDictUnpickler(pickle._Unpickler):
    """Unpickler of the opcodes and names that state_dicts have."""

    stack: list[Any]  # of the base class

    def __init__(self, content: bytes) -> None:
        self.stream = io.BytesIO(content)
        super().__init__(self.stream, encoding="latin-1")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class or function."""
        if (module, name) not in STAND_INS:
            words = printable(f"{module}.{name}")
            raise UnreadableFile(f"its pickle names {words}: {HOLDS_MORE}")
        return STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage that a persistent id describes, whatever its device."""
        match pid:
            case (
                ("storage", np.dtype() as dtype, str(key), str(), int(elements))
                # The old format's sixth member is None, or else views another storage.
                | ("storage", np.dtype() as dtype, str(key), str(), int(elements), None)
            ) if elements >= 0:
                return Storage(key, dtype, elements)
        raise UnreadableFile(
            "its pickle has a persistent id that is no storage of a tensor"
        )

    def load_reduce(self) -> None:
        """Call a stand-in, with no more arguments than PyTorch ever wrote.

        A forged file could have a list of millions unpacked at each of its calls.
        """
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(arguments, tuple) or len(arguments) > MOST_ARGUMENTS:
            raise UnreadableFile("its pickle calls a function with odd arguments")
        self.stack[-1] = function(*arguments)

    def load_empty_dict(self) -> None:
        self.stack.append(StateDict())

    def load_build(self) -> None:
        """Drop a state_dict's attribute `_metadata`, the versions of its modules."""
        state, target = self.stack.pop(), self.stack[-1]
        right = isinstance(target, StateDict) and isinstance(state, StateDict)
        if not right or state.keys() != {"_metadata"}:
            raise UnreadableFile("its pickle sets attributes that no state_dict has")

    def refuse_opcode(self) -> None:
        """Raise UnreadableFile naming the opcode that was read last."""
        self.stream.seek(-1, io.SEEK_CUR)
        with warnings.catch_warnings(action="ignore"):  # of a name like b'\\q'
            opcode, argument, _ = next(pickletools.genops(self.stream))
        what = f" ({printable(argument)})" if isinstance(argument, str) else ""
        raise UnreadableFile(
            f"its pickle has the opcode {opcode.name}{what}: {HOLDS_MORE}"
        )

    dispatch: ClassVar[dict[int, Any]] = {
        **dict.fromkeys(range(256), refuse_opcode),
        **{code[0]: pickle._Unpickler.dispatch[code[0]] for code in OPCODES},
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
    }
