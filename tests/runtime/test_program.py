"""What a command does first, and failures of the machine."""

import errno
import os
import subprocess
import sys
import threading
import types

import jax
import numpy as np
import pytest
from helpers import ROOT

from jaxgan import cli
from jaxgan.runtime import failures, program


def test_too_little_address_space_is_refused_before_anything_is_imported():
    """JAX aborts, crashes or hangs with it."""
    limited = 'ulimit -v 1500000; exec "$0" -m jaxgan.sample --help'
    done = subprocess.run(
        ["sh", "-c", limited, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "jaxgan: error: ulimit -v = 1500000: JAX needs 4194304 or more (in kB), or "
        "unlimited\n"
    )


def test_only_late_writes_print_no_traceback(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "__unraisablehook__", printed.append)
    late, other = (
        types.SimpleNamespace(exc_value=RuntimeError(text))
        for text in ("Event loop is closed", "another")
    )
    program.print_unraisable(late)
    assert printed == []
    program.print_unraisable(other)
    assert printed == [other]


def test_only_errors_of_the_board_print_no_traceback(capsys):
    def of_class(name, error):
        thread = type("Thread", (threading.Thread,), {"__module__": name})()
        given = type(error), error, None, thread
        program.print_thread_error(threading.ExceptHookArgs(given))
        return capsys.readouterr().err

    assert of_class("tensorboardX.event_file_writer", OSError(errno.EFBIG, "x")) == ""
    assert "ValueError" in of_class("tensorboardX.event_file_writer", ValueError("x"))
    assert "OSError" in of_class("jaxgan.anything", OSError(errno.EFBIG, "x"))


def allocate_in_jax():
    jax.block_until_ready(jax.numpy.zeros(2**44))


def allocate_in_numpy():
    np.empty(2**50)


def refused_by_the_system():
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize(
    "allocate", [allocate_in_jax, allocate_in_numpy, refused_by_the_system]
)
def test_out_of_memory_is_one_line_that_says_what_needs_less(allocate, capsys):
    assert cli.exit_code(allocate, "a smaller --num") == 1
    error = capsys.readouterr().err
    assert error.startswith("jaxgan: error: out of memory (")
    assert error.endswith(
        "; a smaller --num needs less; what was saved before is kept\n"
    )
    assert error.count("\n") == 1


def test_what_needs_less_memory_is_told_by_each_command(capsys):
    def define(values):
        cli.flags.DEFINE_integer("num_samples", 2, "", flag_values=values)

    def command(values):
        raise MemoryError

    assert cli.run(command, define, "", []) == 1
    assert "(MemoryError); a smaller --num_samples needs" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cuda", "nonsense"])
def test_a_backend_that_cannot_start_is_one_line(name, monkeypatch, capsys):
    """JAX raises an AssertionError without a text for one, a RuntimeError for other."""

    def devices():
        if name == "cuda":
            raise AssertionError
        raise RuntimeError(f"Unable to initialize backend '{name}': not in the list")

    monkeypatch.setenv("JAX_PLATFORMS", name)
    monkeypatch.setattr(jax, "devices", devices)
    assert cli.exit_code(devices) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"jaxgan: error: JAX_PLATFORMS = {name}: JAX finds no ")
    assert error.count("\n") == 1


def test_other_errors_keep_their_traceback():
    def fail():
        raise AssertionError("x")

    with pytest.raises(AssertionError, match="x"):
        cli.exit_code(fail)


def test_too_many_threads_and_long_messages_are_one_line(capsys):
    def start_threads():
        raise RuntimeError("can't start new thread")

    assert cli.exit_code(start_threads) == 1
    assert "can't start new thread: the limit of pro" in capsys.readouterr().err
    assert len(failures.describe(RuntimeError("a" * 1000))) == 203
    assert failures.describe(RuntimeError("first\nsecond")) == "first"
