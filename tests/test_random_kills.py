"""Runs that are killed or stopped at any moment end with the same bytes."""

import random
import signal
import subprocess

import pytest
from helpers.runs import (
    SHAPES,
    assert_same_run,
    command,
    config_of,
    environment,
    run,
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
        code, errors = run_for(draw.uniform(0.5, 15), number, *arguments)
        assert code in (0, CODES[number]), errors
        assert all(line.startswith("jaxgan: ") for line in errors.splitlines()), errors
    done = run("main", *arguments)
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, workdir)


def run_for(seconds, number, *arguments):
    """Train for some seconds, then send a signal; return the code and stderr."""
    with subprocess.Popen(
        command("main", *arguments),
        env=environment(arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            errors = process.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            errors = process.communicate()[1]
    return process.returncode, errors
