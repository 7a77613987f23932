"""The pickles inside PyTorch's files of weights, read without executing anything.

A pickle is a program for a small stack machine, which can call any function of any
module. This machine knows the opcodes that PyTorch's `save` of a state_dict has ever
written, and builds tensors' descriptions, numbers, strings, tuples, lists and
dictionaries; it imports and calls nothing, and refuses the rest by name.
"""

import math
import pickletools
from collections import OrderedDict
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

STORAGES: dict[str, Any] = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
GLOBALS = {
    *STORAGES,
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",  # before PyTorch 0.4
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}
# A state_dict's pickle has some hundred bytes a tensor; this bounds the memory.
LONGEST = 2**22
MORE = (
    "it holds more than tensors, and nothing of it was executed; save net.state_dict() "
    "alone"
)


class Refused(Exception):
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


class Global(NamedTuple):
    """The name of a class or function, 'module name'; it is never imported."""

    name: str


def load(stream: BinaryIO) -> Any:
    """Return what the pickle at `stream` describes; reads to its end and no further.

    Raises:
        Refused: an opcode, global or call that no state_dict has, a tensor that is
            not inside its storage, or a damaged pickle.
    """
    machine, start = Machine(), stream.tell()
    bounded: Any = Bounded(stream)
    try:
        for opcode, argument, _ in pickletools.genops(bounded):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if stream.tell() - start > LONGEST:
                raise Refused(f"its pickle is longer than {LONGEST:,} bytes")
            machine.execute(opcode.name, argument)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise Refused(f"its pickle is damaged ({shown(error)})") from error
    raise Refused("its pickle has no end")


class Bounded:
    """A stream whose reads allocate no more than a pickle may have."""

    def __init__(self, stream: BinaryIO):
        self.tell = stream.tell
        self.read = lambda count: stream.read(min(count, LONGEST))
        self.readline = lambda: stream.readline(LONGEST)


class Machine:
    """The stack, its marks and the memo of a pickle that is being read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def execute(self, opcode: str, argument: Any) -> None:
        """Execute one opcode, named as in Python's pickletools; raises Refused."""
        stack = self.stack
        match opcode:
            case "PROTO":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING":  # written by Python 2
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True}.get(opcode, False))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(known_global(argument))
            case "BINPERSID":
                stack.append(storage(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(called(stack.pop(), arguments))
            case "BUILD":  # a state_dict's attribute: versions of modules
                state, target = stack.pop(), stack[-1]
                right = isinstance(target, OrderedDict) and isinstance(state, dict)
                if not right or state.keys() != {"_metadata"}:
                    raise Refused("its pickle sets attributes that no state_dict has")
            case _:
                self.collect(opcode, argument)

    def collect(self, opcode: str, argument: Any) -> None:
        """Execute an opcode of tuples, lists and dictionaries."""
        stack = self.stack
        match opcode:
            case "MARK":
                self.marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE":
                stack.append(tuple(self.cut(self.marks.pop())))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.cut(len(stack) - int(opcode[-1]))))
            case "APPEND" | "APPENDS":
                items = self.cut(self.first(opcode == "APPENDS", 1))
                if not isinstance(stack[-1], list):
                    raise Refused("its pickle appends to what is no list")
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = self.cut(self.first(opcode == "SETITEMS", 2))
                set_items(stack[-1], zip(items[::2], items[1::2], strict=True))
            case _:
                what = f" ({shown(argument)})" if isinstance(argument, str) else ""
                raise Refused(f"its pickle has the opcode {opcode}{what}: {MORE}")

    def first(self, marked: bool, count: int) -> int:
        """Return where the newest items begin: at the mark, or `count` from the end."""
        return self.marks.pop() if marked else len(self.stack) - count

    def cut(self, start: int) -> list[Any]:
        """Remove and return the stack's items from `start` on."""
        if not 0 <= start <= len(self.stack):
            raise IndexError("stack is empty")
        items = self.stack[start:]
        del self.stack[start:]
        return items


def known_global(name: str) -> Global:
    """Return the global called 'module name' if a state_dict may have it."""
    if name not in GLOBALS:
        raise Refused(f"its pickle names {shown(name.replace(' ', '.'))}: {MORE}")
    return Global(name)


def storage(identity: Any) -> Storage:
    """Return the storage that a persistent id describes, wherever it was stored."""
    match identity:
        # The old format's sixth member is None, or else views another storage.
        case ("storage", Global(kind), str(key), str(), int(count), *view):
            if kind in STORAGES and count >= 0 and view in ([], [None]):
                return Storage(key, STORAGES[kind], count)
    raise Refused("its pickle has a persistent id that is no storage of a tensor")


def called(function: Any, arguments: Any) -> Any:
    """Return what the call of a known global stands for; calls nothing."""
    match function, arguments:
        case Global("collections OrderedDict"), ():
            return OrderedDict()
        case Global("collections OrderedDict"), (list(pairs),):  # written by Python 2
            return set_items(OrderedDict(), pairs)
        case Global("torch._utils _rebuild_tensor"), (_, _, _, _):
            return tensor(*arguments)
        case Global("torch._utils _rebuild_tensor_v2"), (_, _, _, _, _, *_):
            return tensor(*arguments[:4])
        case Global("torch._utils _rebuild_parameter"), (Tensor() as made, *_):
            return made
    name = function.name if isinstance(function, Global) else type(function).__name__
    raise Refused(f"its pickle calls {name} in a way that no state_dict has")


def tensor(base: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """Return a tensor, checked to lie inside its storage and not to repeat it."""
    tuples = isinstance(size, tuple) and isinstance(stride, tuple)
    if not tuples or not isinstance(base, Storage):
        raise Refused("its pickle has a tensor without storage, size or strides")
    if len(size) != len(stride) or len(size) > 8:
        raise Refused(f"its pickle has a tensor of {len(size)} sides")
    if any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        raise Refused("its pickle has a tensor whose sizes are no whole numbers")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if not 0 < math.prod(size) <= base.elements or last >= base.elements:
        raise Refused(
            f"its pickle has a tensor of size {shown(size)}, strides {shown(stride)} "
            f"and offset {shown(offset)} that does not fit its storage of "
            f"{shown(base.elements)} numbers"
        )
    return Tensor(base, offset, size, stride)


def set_items(target: Any, pairs: Any) -> Any:
    """Return the dictionary `target` with the pairs added; keys are strings."""
    if not isinstance(target, dict):
        raise Refused("its pickle sets items of what is no dictionary")
    for key, value in pairs:
        if not isinstance(key, str):
            raise Refused("its pickle has a dictionary whose keys are no strings")
        target[key] = value
    return target


def shown(value: Any) -> str:
    """Return a value's text, cut where a forged file has made it long."""
    text = str(value)
    return text if len(text) <= 100 else text[:100] + "..."
