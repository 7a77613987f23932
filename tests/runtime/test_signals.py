"""Signals, in processes that import nothing slow; and in `jaxgan.main`, if slow."""

import os
import random
import signal
import subprocess
import sys
import threading

import pytest
from helpers import ROOT
from helpers.runs import signal_after, write_config

from jaxgan.runtime.signals import NUMBERS, StopSignals

SIGNALS = [*NUMBERS]
# A call in C that does not come back, in which no handler of Python's can run.
IN_C = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
START = """
import sys, time
from jaxgan.runtime import program, signals
program.start()
def ready():
    print("ready", flush=True)
"""
TO_CLEAN_UP = """
with signals.clean_up(lambda: print("cleaned", flush=True)):
    ready()
"""
LOOP = """
with signals.StopSignals("finishing", "all is kept") as stop:
    ready()
"""


def start(script, before=""):
    """Start a Python process and return it once it has printed 'ready'.

    `before` is what the shell does that starts it.
    """
    process = subprocess.Popen(
        ["sh", "-c", f'{before} exec "$0" -c "$1"', sys.executable, START + script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_program_at_once_whatever_it_does(number):
    process = start(f"{TO_CLEAN_UP}    {IN_C}")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert err == f"jaxgan: error: stopped by {number.name}\n"
    assert out == "cleaned\n"


def test_in_a_loop_the_first_signal_is_noted_and_the_second_ends_at_once():
    process = start(f"{LOOP}    {IN_C}")
    process.send_signal(signal.SIGINT)
    noted = process.stderr.readline()
    assert noted == "jaxgan: SIGINT: finishing; again to stop now\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert err == "jaxgan: error: stopped by SIGTERM; all is kept\n"


def test_a_signal_sent_twice_at_once_is_one_and_a_quick_loop_says_nothing():
    """`timeout` sends its signal to the process, and then to the process's group."""
    taken = (
        "    while not (number := stop.check()):\n"
        "        time.sleep(0.01)\n"
        "    time.sleep(0.5)\n"
        "print(number)"
    )
    process = start(LOOP + taken)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "15\n", "")


def test_a_signal_that_is_ignored_at_the_start_stays_ignored():
    process = start(f"ready()\n{IN_C}", before="trap '' HUP;")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (143, "jaxgan: error: stopped by SIGTERM\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_elsewhere_a_second_signal_does_what_it_did_before(number):
    """In a notebook or a test, no thread watches."""
    seen = []
    before = signal.signal(number, lambda number, frame: seen.append(number))
    try:
        with StopSignals("finishing", "kept") as stop:
            assert stop.check() == 0
            os.kill(os.getpid(), number)
            assert (stop.check(), seen) == (number, [])
            os.kill(os.getpid(), number)
            assert seen == [number]
        os.kill(os.getpid(), number)
        assert seen == [number] * 2
    finally:
        signal.signal(number, before)


def test_a_thread_other_than_the_main_one_notes_no_signals():
    handlers = [signal.getsignal(number) for number in NUMBERS]
    found = []

    def work():
        with StopSignals("finishing", "kept") as stop:
            found.extend([stop.check(), *map(signal.getsignal, NUMBERS)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0, *handlers]


def test_what_a_command_does_first_takes_no_time():
    """So that signals are answered from the first line of a program on."""
    slow = "jax", "numpy", "absl", "ml_collections", "flax", "PIL"
    found = f"[name for name in {slow} if name in sys.modules]"
    _, err = start(f"ready()\nprint({found}, file=sys.stderr)").communicate()
    assert err == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_of_training(number, tmp_path):
    """Start-up, compiling, steps and the end: never a traceback or a default action."""
    draw = random.Random(number)
    config = write_config(tmp_path)
    folder = tmp_path / "run"
    for _ in range(10):
        arguments = f"--config={config}", f"--workdir={folder}"
        # After Python's own start, in which no line of ours can run.
        code, out, err = signal_after(draw.uniform(0.3, 8), number, *arguments)
        if "training from" not in out and "finished at" not in out:
            assert err == f"jaxgan: error: stopped by {number.name}\n"
        assert err.count("\n") <= 1
        assert code in (0, 128 + number)
        assert not (folder / ".lock").exists()
