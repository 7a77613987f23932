"""How fast a run goes: compiling does not count."""

import jax
import jax.numpy as jnp
import pytest

from jaxgan.runtime import pace
from jaxgan.runtime.pace import COMPILING, CompileTime, Pace


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, as a list of one number."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    return now


def test_a_function_within_another_is_counted_once(clock):
    compiling = CompileTime()
    # Inner functions from 1 to 2 and from 3 to 4, the outer one from 0 to 5.
    for end, seconds in [(2, 1), (4, 1), (5, 5)]:
        clock[0] = end
        compiling._note(COMPILING[0], duration_secs=seconds)
    assert compiling.seconds() == 5
    clock[0] = 9
    compiling._note("/jax/another/event", duration_secs=3)
    compiling._note(COMPILING[2], duration_secs=3, fun_name="f")
    assert compiling.seconds() == 8


def test_speed_leaves_compiling_out_and_seconds_do_not(clock):
    run = Pace(seconds=100, began=-4.0)
    clock[0] = 20
    run._compiling._note(COMPILING[2], duration_secs=18)
    assert run.is_new
    assert run.describe_start(1) == "first step after 24.0 s (compiling took 18.0 s)"
    assert "first 10 steps after" in run.describe_start(10)
    run.add(steps=10, images=640)
    assert run.rates() == (320, 5)  # in 2 of 20 seconds
    assert run.seconds() == 120
    clock[0] = 22
    run.add(steps=2, images=128)
    assert run.rates() == (64, 1)
    assert run.seconds() == 122


def test_jax_reports_the_time_of_compiling_and_only_while_asked():
    with Pace(0.0, 0.0) as run:
        jax.jit(lambda x: jnp.sin(x) * 3)(2.0)
        first = run._compiling.seconds()
        assert first > 0
    jax.jit(lambda x: jnp.cos(x) * 3)(2.0)
    assert run._compiling.seconds() == first
