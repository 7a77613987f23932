"""Runs that are killed or stopped at any moment end with the same bytes."""

import random
import signal

import pytest
from helpers.runs import (
    SHAPES,
    assert_same_run,
    config_of,
    run,
    signal_after,
    write_config,
)

pytestmark = pytest.mark.slow

# Exit codes of a process that a signal ended; SIGKILL has no handler.
CODES = {
    signal.SIGKILL: -9,
    signal.SIGTERM: 143,
    signal.SIGINT: 130,
    signal.SIGHUP: 129,
}


@pytest.fixture(scope="module", params=SHAPES)
def undisturbed(request, tmp_path_factory):
    """One uninterrupted run of each GAN."""
    folder = tmp_path_factory.mktemp(request.param)
    path = write_config(folder, request.param)
    done = run("main", f"--config={path}", f"--workdir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder


def test_signals_at_random_moments_give_the_same_bytes(undisturbed, tmp_path):
    """After a signal at any moment the same command ends with the same bytes."""
    draw = random.Random(0)
    workdir = tmp_path / "run"
    arguments = config_of(undisturbed), f"--workdir={workdir}"
    for _ in range(12):
        number = draw.choice(list(CODES))
        # From when Python itself has started.
        done = signal_after(draw.uniform(0.5, 15), number, *arguments)
        assert done.returncode in (0, CODES[number]), done
        assert all(x.startswith("jaxgan: ") for x in done.stderr.splitlines()), done
    done = run("main", *arguments)
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, workdir)
