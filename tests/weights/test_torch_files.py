"""PyTorch's files without PyTorch: both formats, forged ones, damaged ones.

The files are made here by Python's own pickle, with stand-ins for PyTorch's classes.
"""

import builtins
import contextlib
import io
import os
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.weights import torch_files, torch_pickle

FORMATS = pytest.mark.parametrize("form", ["zip", "old"])
MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """What a persistent id stands for: an array, its type's name and its key."""

    def __init__(self, array, kind, key):
        self.array, self.kind, self.key = array, kind, key


class Tensor:
    """Pickles as PyTorch's tensors do, from the fields that the file shall have."""

    rebuild = "_rebuild_tensor_v2"

    def __init__(self, storage, offset, size, stride):
        self.fields = (storage, offset, size, stride)

    def __reduce_ex__(self, protocol):
        extra = (False, OrderedDict()) if self.rebuild.endswith("v2") else ()
        return getattr(sys.modules["torch._utils"], self.rebuild), (
            *self.fields,
            *extra,
        )


@pytest.fixture
def fake_torch(monkeypatch):
    """Modules `torch` and `torch._utils` with the names that a pickle needs."""
    for name in ("torch", "torch._utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for kind in ("Float", "Double", "Half", "Long"):
        made = type(f"{kind}Storage", (), {"__module__": "torch"})
        setattr(sys.modules["torch"], f"{kind}Storage", made)
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(sys.modules["torch._utils"], name, function)


def pickled(value, view=()):
    """Return a pickle of protocol 2 whose storages are persistent ids."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            kind = getattr(sys.modules["torch"], f"{item.kind}Storage")
            return ("storage", kind, item.key, "cuda:0", item.array.size, *view)

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def zipped(content, storages=(), compression=zipfile.ZIP_STORED, order=b"little"):
    """Return the bytes of the zip format with a pickle and storages."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("net/data.pkl", content)
        archive.writestr("net/byteorder", order)
        for storage in storages:
            archive.writestr(f"net/data/{storage.key}", storage.array.tobytes())
        archive.writestr("net/version", b"3\n")
    return stream.getvalue()


def old(content, storages=(), keys=None, little=True, magic=MAGIC):
    """Return the bytes of the old format: five pickles, then the storages."""
    machine = {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}
    keys = [storage.key for storage in storages] if keys is None else keys
    first = [pickle.dumps(part, protocol=2) for part in (magic, 1001, machine)]
    parts = [*first, content, pickle.dumps(keys, protocol=2)]
    for storage in storages:
        parts += [struct.pack("<q", storage.array.size), storage.array.tobytes()]
    return b"".join(parts)


def packed(form, content, storages=()):
    return zipped(content, storages) if form == "zip" else old(content, storages)


def example(form):
    """Return a file of two tensors in one storage and one in another."""
    numbers = Storage(np.arange(24, dtype=np.float32), "Float", "7")
    half = Storage(np.array([0.5, 1.5], np.float16), "Half", "8")
    state = OrderedDict(
        [
            ("whole", Tensor(numbers, 0, (2, 3, 4), (12, 4, 1))),
            ("turned", Tensor(numbers, 1, (4, 3), (1, 4))),
            ("scalar", Tensor(half, 1, (), ())),
        ]
    )
    state._metadata = OrderedDict([("", {"version": 1}), ("model", {"version": 2})])
    view = (None,) if form == "old" else ()
    return packed(form, pickled(state, view), [numbers, half])


def read(tmp_path, content):
    """Read the bytes of a file."""
    path = tmp_path / "x.pth"
    # Some file systems flush a file that is written over: 4.7 ms instead of 0.1 ms.
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return torch_files.read(path)


def refused(tmp_path, content):
    """Return the message with which the bytes of a file are refused."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.pth'}: ")
    return message


@FORMATS
def test_both_formats_are_read(form, tmp_path, fake_torch):
    found = read(tmp_path, example(form))
    assert list(found) == ["whole", "turned", "scalar"]
    numbers = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(found["whole"], numbers)
    np.testing.assert_array_equal(
        found["turned"], (numbers.ravel()[1:13].reshape(3, 4)).T
    )
    assert found["scalar"] == 1.5
    assert found["scalar"].dtype == np.float16


def test_a_state_dict_of_pytorch_before_0_4_and_python_2(
    tmp_path, fake_torch, monkeypatch
):
    """OrderedDict is called with a list of lists, strings are bytes' opcodes."""
    monkeypatch.setattr(Tensor, "rebuild", "_rebuild_tensor")
    numbers = Storage(np.arange(6, dtype=np.float32), "Float", "7")
    tensor = pickled(Tensor(numbers, 0, (2, 3), (3, 1)), (None,))
    tensor = tensor[2:-1].replace(b"X\7\0\0\0storage", b"U\7storage")
    assert b"U\7storage" in tensor
    ordered = b"ccollections\nOrderedDict\n]"
    items = b"](U\1w" + tensor + b"ea\x85R"
    metadata = b"}U\t_metadata" + ordered + b"\x85Rsb"
    content = b"\x80\2" + ordered + items + metadata + b"."
    found = read(tmp_path, old(content, [numbers]))
    np.testing.assert_array_equal(found["w"], np.arange(6.0).reshape(2, 3))


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class State:
    """Pickles as an object whose attributes are set."""

    def __init__(self):
        self.x = 1


def malicious(canary):
    """Return {what is refused: pickle}; each would make the file `canary` if run."""
    shell = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    text = b"X%c\0\0\0%s" % (len(shell), shell.encode())
    system = Calls(os.system, shell)
    made = {
        f"protocol {protocol}": pickle.dumps(system, protocol) for protocol in range(6)
    }
    return made | {
        "eval": pickle.dumps(Calls(builtins.eval, code), 2),
        "exec": pickle.dumps(Calls(builtins.exec, code), 2),
        "getattr": pickle.dumps(Calls(getattr, "os", "system"), 2),
        "in a state_dict": pickle.dumps(OrderedDict(x=system), 2),
        "in a list": pickle.dumps([[system]], 2),
        "object": pickle.dumps(State(), 2),
        "INST": b"(" + text + b"ios\nsystem\n.",
        "OBJ": b"(" + text + text + b"o.",
        "NEWOBJ": b"\x80\2ccollections\nOrderedDict\n" + text + b"\x85\x81.",
        "EXT1": b"\x80\2\x82\1.",
        "EXT2": b"\x80\2\x83\1\1.",
        "EXT4": b"\x80\2\x84\1\1\1\1.",
        "STACK_GLOBAL": b"\x80\4X\2\0\0\0osX\6\0\0\0system\x93.",
        "PERSID": b"Pos.system\n.",
        "REDUCE of a string": b"\x80\2X\2\0\0\0os)R.",
        "REDUCE of a storage": b"\x80\2ctorch\nFloatStorage\n)R.",
        "an OrderedDict of text": b"\x80\2ccollections\nOrderedDict\nX\1\0\0\0a\x85R.",
        "rebuilt text": b"\x80\2ctorch._utils\n_rebuild_parameter\nX\1\0\0\0a\x85R.",
        "BUILD": b"\x80\2ccollections\nOrderedDict\n)R}X\1\0\0\0aK\1sb.",
        "BUILD of a global": b"\x80\2ccollections\nOrderedDict\n}b.",
        "module's persistent id": b"\x80\2(X\6\0\0\0moduleK\1K\1K\1tQ.",
        "storage of a class": b"\x80\2(X\7\0\0\0storageccollections\nOrderedDict\n"
        b"X\1\0\0\0aX\3\0\0\0cpuK\1tQ.",
        "BUILD of a function": b"\x80\2ctorch._utils\n_rebuild_tensor\nN}"
        b"X\x0c\0\0\0__defaults__)s\x86b.",
        "BUILD of a class": b"\x80\2ccollections\nOrderedDict\nN}X\1\0\0\0aNs\x86b.",
        "NEWOBJ_EX": b"\x80\4ccollections\nOrderedDict\n)}\x92.",
        "BINBYTES8": b"\x80\4\x8e" + struct.pack("<Q", 2**62) + b"a.",
        "BYTEARRAY8": b"\x80\5\x96" + struct.pack("<Q", 2**40) + b"a.",
        "NEXT_BUFFER": b"\x80\5\x97.",
        "FRAME": b"\x80\4\x95" + struct.pack("<Q", 2**62) + b"N.",
        "DUP": b"\x80\2N2.",
        "POP": b"\x80\2NN0.",
        "a text of 2^32 bytes": b"\x80\2X\xff\xff\xff\xffa.",
        # As tuples of tuples: its hash takes 2^40 steps.
        "a deep key": b"\x80\2})q\0" + b"h\0\x86q\0" * 40 + b"Ns.",
        "a set item of a list": b"\x80\2]X\1\0\0\0aNs.",
        "LONG4": b"\x80\2\x8b\4\0\0\0\1\1\1\1.",
        "a string of 2^62 bytes": b"\x80\4\x8d" + struct.pack("<Q", 2**62) + b"a.",
        "a memo of 2^32": b"\x80\2K\1r\xff\xff\xff\xff.",
        "an empty stack": b"\x80\2R.",
        "no mark": b"\x80\2t.",
        "an unknown opcode": b"\x80\2\xff.",
    }


@FORMATS
def test_malicious_pickles_are_refused_and_never_executed(form, tmp_path):
    canary = tmp_path / "executed"
    for name, content in malicious(canary).items():
        message = refused(tmp_path, packed(form, content))
        assert not canary.exists(), name
        assert len(message) < 400 + len(str(tmp_path)), name
    said = {
        "protocol 0": f"{os.system.__module__}.system: it holds more than tensors",
        "eval": "builtins.eval: it holds more than tensors",
        "INST": "opcode INST (os system)",
        "EXT1": "opcode EXT1",
        "STACK_GLOBAL": "opcode STACK_GLOBAL",
        "OBJ": "opcode OBJ",
        "NEWOBJ": "opcode NEWOBJ",
        "BUILD of a global": "sets attributes",
        "BUILD of a function": "sets attributes",
        "a deep key": "keys are no strings",
        "FRAME": "opcode FRAME",
        "a memo of 2^32": "holds no state_dict (int)",
        "PERSID": "opcode PERSID (os.system)",
        "module's persistent id": "persistent id that is no storage",
    }
    for name, words in said.items():
        content = malicious(canary)[name].replace(b"__builtin__", b"builtins")
        assert words in refused(tmp_path, packed(form, content)), name
    assert not canary.exists()


def test_every_pickle_of_the_old_format_is_restricted(tmp_path, fake_torch):
    canary = tmp_path / "executed"
    bad = pickle.dumps(Calls(os.system, f"touch {canary}"), 2)
    sound = example("old")
    parts = [pickle.dumps(part, protocol=2) for part in (MAGIC, 1001)]
    assert sound.startswith(b"".join(parts))
    rest = sound[len(b"".join(parts)) :]
    keys = pickle.dumps(["7", "8"], 2)
    for content in (
        bad,
        parts[0] + bad,
        b"".join(parts) + bad,
        b"".join(parts) + rest.replace(keys, bad),
    ):
        assert "system" in refused(tmp_path, content)
    assert not canary.exists()


@FORMATS
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (25,), (1,)),
        (20, (5,), (1,)),
        (0, (2, 13), (12, 1)),
        (0, (3, 4), (12, 1)),  # ends behind the storage
        (0, (4, 3, 4), (0, 4, 1)),  # 48 numbers of 24
        (0, (10**6, 10**6), (0, 0)),
        (-1, (2,), (1,)),
        (5, (3,), (-1,)),
        (0, (-2, -3), (1, 1)),
        (0, (2, 3), (3,)),
        (0, (True,), (1,)),
        (0, [2], (1,)),
        (0, (0,), (1,)),
        (0, (1,) * 9, (1,) * 9),
        (10**30, (1,), (1,)),
        (0, (2**1000,) * 9_000, (1,) * 9_000),  # a long product
    ],
)
def test_tensors_outside_their_storage_are_refused(
    form, offset, size, stride, tmp_path, fake_torch
):
    numbers = Storage(np.arange(24, dtype=np.float32), "Float", "7")
    content = pickled({"w": Tensor(numbers, offset, size, stride)})
    assert "has a tensor" in refused(tmp_path, packed(form, content, [numbers]))


@FORMATS
def test_storages_of_another_size_are_refused(form, tmp_path, fake_torch):
    said = Storage(np.zeros(24, np.float32), "Float", "7")
    content = pickled({"w": Tensor(said, 0, (24,), (1,))})
    for count in (23, 25):
        there = Storage(np.zeros(count, np.float32), "Float", "7")
        message = refused(tmp_path, packed(form, content, [there]))
        assert "is damaged: its storage 7 has" in message


@FORMATS
def test_a_storage_said_to_be_huge_is_not_allocated(form, tmp_path, fake_torch):
    numbers = Storage(np.zeros(4, np.float32), "Float", "7")
    for size in (2**55, 2**100):
        huge = Storage(types.SimpleNamespace(size=size), "Float", "7")
        content = pickled({"w": Tensor(huge, 0, (4,), (1,))})
        file = packed(form, content, [numbers])
        if form == "old" and size < 2**63:
            file = file.replace(struct.pack("<q", 4), struct.pack("<q", size))
        message = refused(tmp_path, file)
        assert "its storage 7" in message


@FORMATS
def test_cut_and_flipped_files_are_read_or_refused(form, tmp_path, fake_torch):
    """No other error, whichever byte is wrong; a file cut short is always refused."""
    sound = example(form)
    for length in range(0, len(sound), 3):
        refused(tmp_path, sound[:length])
    rng = np.random.default_rng(0)
    for position in range(0, len(sound), 2):
        forged = bytearray(sound)
        forged[position] ^= rng.integers(1, 256)
        with contextlib.suppress(UserError):
            read(tmp_path, bytes(forged))


def test_what_is_no_file_of_pytorch(tmp_path, fake_torch):
    numbers = Storage(np.zeros(4, np.float32), "Float", "7")
    tensor = pickled({"w": Tensor(numbers, 0, (4,), (1,))})
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("picture.png", b"x")
    for content, words in {
        b"": "is no PyTorch file",
        b"<!DOCTYPE html>": "is no PyTorch file",
        plain.getvalue(): "it has no data.pkl",
        pickle.dumps({"a": 1}, 2): "it has no magic number",
        old(tensor, [numbers], magic=1): "it has no magic number",
        old(tensor, [numbers], little=False): "big-endian",
        zipped(tensor, [numbers], order=b"big"): "big-endian",
        zipped(tensor, [numbers], zipfile.ZIP_DEFLATED): "is a compressed zip",
        zipped(tensor): "lacks its storage 7",
        old(tensor): "its storages are not those of its tensors",
        old(tensor, [numbers], keys=[7]): "its storages are not those of its tensors",
        zipped(pickle.dumps([1], 2)): "holds no state_dict (list)",
        zipped(pickle.dumps({}, 2)): "holds no state_dict (empty)",
        zipped(pickle.dumps({"epoch": 1}, 2)): "holds int under the key epoch",
        zipped(pickle.dumps({"a\nb": 1}, 2)): "under the key a\\nb",
        zipped(pickle.dumps({1: 1}, 2)): "keys are no strings",
    }.items():
        assert words in refused(tmp_path, content), words


def test_a_long_pickle_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_PICKLE_BYTES", 1000)
    for rest in (b"N" * 1001 + b".", b"X\xff\xff\0\0" + b"a" * 2**16 + b"."):
        message = refused(tmp_path, zipped(b"\x80\2" + rest))
        assert "is longer than 1,000 bytes" in message


def test_a_list_copied_many_times_does_not_fill_the_memory(tmp_path):
    """OrderedDict is called 2,000 times with one list of 10,000 pairs."""
    pairs = b"".join(b"X\4\0\0\0%04xN\x86" % number for number in range(10_000))
    ordered = b"ccollections\nOrderedDict\nq\0"
    calls = b"h\0h\1\x85R" * 2_000
    content = b"\x80\2](" + ordered + b"]q\1(" + pairs + b"e" + calls + b"e."
    tracemalloc.start()
    try:
        refused(tmp_path, zipped(content))
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_files_are_written_alike_and_read_back(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"layer.{n}.weight": rng.normal(size=(n, 3, 2)).T for n in (1, 300)}
    arrays |= {"bias": rng.normal(size=()).astype(np.float32)}
    torch_files.write(tmp_path / "x.pth", arrays)
    torch_files.write(tmp_path / "y.pth", arrays)
    assert (tmp_path / "x.pth").read_bytes() == (tmp_path / "y.pth").read_bytes()
    found = torch_files.read(tmp_path / "x.pth")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
