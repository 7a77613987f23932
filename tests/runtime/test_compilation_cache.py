"""Compiled programs are kept in a folder of the user's, and no failure is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from jaxgan.runtime import compilation_cache
from jaxgan.runtime.compilation_cache import FOLDER, LEAST_SECONDS


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user without a cache, whose folder of caches is returned."""
    for name in (FOLDER, LEAST_SECONDS):
        # Set and deleted, so that it is deleted again after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(compilation_cache, "drop_warnings", lambda folder: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_programs_are_kept_in_a_folder_for_this_machine(user):
    compilation_cache.enable()
    folder = user / "jaxgan" / "compiled" / compilation_cache.machine_name()
    assert os.environ[FOLDER] == str(folder)
    assert os.environ[LEAST_SECONDS] == "0.1"
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_the_variables_of_jax_are_left_alone(user, monkeypatch):
    monkeypatch.setenv(LEAST_SECONDS, "3")
    compilation_cache.enable()
    assert os.environ[LEAST_SECONDS] == "3"
    monkeypatch.setenv(FOLDER, "/other")
    compilation_cache.enable()
    assert os.environ[FOLDER] == "/other"


@pytest.mark.parametrize("place", ["file", "/proc/1/cache", "/dev/null"])
def test_a_folder_that_cannot_be_made_is_no_error(place, user, monkeypatch, capfd):
    (user / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(user / place))
    compilation_cache.enable()
    assert FOLDER not in os.environ
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_a_folder_that_is_read_only_and_no_home_are_no_errors(
    user, monkeypatch
):
    def refuse(**options):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(compilation_cache, "LEAST_FREE_BYTES", 2**80)
        compilation_cache.enable()
    with monkeypatch.context() as patch:
        patch.setattr(compilation_cache.tempfile, "TemporaryFile", refuse)
        compilation_cache.enable()
    with monkeypatch.context() as patch:
        patch.setattr(compilation_cache, "cache_folder", lambda: None)
        compilation_cache.enable()
    assert FOLDER not in os.environ
    compilation_cache.enable()
    assert FOLDER in os.environ


def test_another_cpu_or_number_of_cores_has_another_folder(tmp_path, monkeypatch):
    def name(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return compilation_cache.machine_name(path)

    core = "model name\t: A\ncpu MHz\t: {}\nflags\t: sse {}\n\n"
    first = name(core.format(1000, "") + core.format(1, "other"))
    assert first == name(core.format(2000, ""))  # the clock changes all the time
    assert first != name(core.format(1000, "avx512"))
    assert compilation_cache.machine_name(tmp_path / "none")
    monkeypatch.setattr(compilation_cache, "number_of_cores", lambda: 1000)
    assert first != name(core.format(1000, ""))


def test_programs_used_longest_ago_are_deleted_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        path = tmp_path / "machine" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))

    def left(most_bytes):
        compilation_cache.delete_oldest(tmp_path, most_bytes)
        return {path.name for path in (tmp_path / "machine").iterdir()}

    assert left(300) == {"new", "middle", "old"}
    assert left(299) == {"new", "middle"}
    assert left(100) == {"new"}
    compilation_cache.delete_oldest(tmp_path / "none", 0)


PROGRAM = """
import os, sys
from pathlib import Path
from jaxgan.runtime import program
program.start()
import jax

def entries():
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    return {path: path.read_bytes() for path in folder.glob("jit_steps-*-cache")}

@jax.jit
def steps(x):
    return x * 2 + 1

def value():
    jax.clear_caches()
    return float(steps(3.0))

assert value() == 7
whole = entries()
assert len(whole) == 1, whole
for damaged in (lambda c: c[:100], lambda c: b"", lambda c: c[:-9] + bytes(9)):
    for path, content in whole.items():
        path.write_bytes(damaged(content))
    assert value() == 7
    assert value() == 7
    print(len(entries()), all(len(c) > 200 for c in entries().values()))
"""


def test_a_damaged_program_is_compiled_again_and_replaced(tmp_path):
    environment = dict(os.environ, XDG_CACHE_HOME=str(tmp_path), PYTHONPATH=str(ROOT))
    del environment[FOLDER]  # of this test run
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 True\n" * 3
    assert len(list(Path(tmp_path).rglob("jit_steps-*-cache"))) == 1
