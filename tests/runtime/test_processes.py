"""Two real processes of four devices each, on the loopback interface.

They are killed, stopped and resumed; test_rendezvous.py tests how they find one
another.
"""

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import COMPILE_FLAGS
from helpers.runs import (
    command,
    config_of,
    environment,
    final_bytes,
    lines,
    pictures,
    write_config,
)

from jaxgan.workdir import checkpoint_files, checksums

LAST = 20
FLAGS = ("--config.parallel.devices=0", "--config.train.checkpoint_steps=5")
# What keeps a run of each GAN short, and gives each device an example.
FLAGS_OF_GAN = {
    "wgan": ("--config.gan.n_critic=1", "--config.gan.critic_start=False"),
    "wgan_gp": ("--config.gan.n_critic=1",),
    "cyclegan": ("--config.data.batch_size=8",),
}
DEVICES = {"XLA_FLAGS": f"--xla_force_host_platform_device_count=4 {COMPILE_FLAGS}"}


def environment_of(*arguments):
    """Return the environment of a process with four devices.

    Programs are compiled with few optimizations, in all runs that are compared: most
    of the time of such a short run is compiling.
    """
    return environment(arguments, quick=True) | DEVICES


# These train as `python -m jaxgan.main` does, but on hardware that numbers the
# processes in another way, in processes that end slowly, and with a disk that fails.
RENUMBERED = """
import sys, jax
from jaxgan import cli, main
initialize = jax.distributed.initialize
jax.distributed.initialize = lambda address, count, index, **options: initialize(
    address, count, count - 1 - index, **options
)
code = main.main()
assert jax.process_index() == int(sys.argv[-1] == "--process_id=0")
cli.exit_process(lambda: code)
"""
ENDING_SLOWLY = """
import sys, time
from jaxgan import cli, main
from jaxgan.runtime.processes import Link
announce_end = Link.announce_end
def late(link, *arguments):
    announce_end(link, *arguments)
    time.sleep(0 if link.first else 1)
Link.announce_end = late
cli.exit_process(main.main)
"""
DISK_FAILS = """
import errno, os
from jaxgan import cli, main
from jaxgan.workdir import checkpoint_manager
write = checkpoint_manager.write_checksums
def fail(path):
    if path.name == "10":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    write(path)
checkpoint_manager.write_checksums = fail
cli.exit_process(main.main)
"""


def start(workdir, *arguments, num_steps=LAST, count=2, script=""):
    """Start the processes of a run; return them in the order of their numbers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    own_flags = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
    gan = Path(arguments[0]).stem
    return [
        subprocess.Popen(
            [
                *([sys.executable, "-c", script] if script else command("main")),
                *arguments,
                f"--workdir={workdir}",
                f"--config.train.num_steps={num_steps}",
                *FLAGS,
                *FLAGS_OF_GAN[gan],
                *own_flags,
                f"--process_id={index}",
            ],
            env=environment_of(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def results_of(processes):
    """Wait for the processes; return (exit code, stdout, stderr) of each."""
    try:
        outputs = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *o) for p, o in zip(processes, outputs, strict=True)]


def errors(text):
    """Return our error lines; the libraries add lines of their own."""
    return [line for line in text.splitlines() if line.startswith("jaxgan: ")]


def wait_for_step(step, workdir, processes):
    log = Path(workdir) / "metrics.jsonl"
    limit = time.monotonic() + 120
    while time.monotonic() < limit and all(p.poll() is None for p in processes):
        if log.exists() and f'"step": {step},' in log.read_text():
            return
        time.sleep(0.005)


def train_in_one_process(devices, num_steps, workdir, config):
    """Train on so many devices; return what the process printed."""
    flags = *FLAGS, *FLAGS_OF_GAN["wgan_gp"], f"--config.parallel.devices={devices}"
    done = subprocess.run(
        command(
            "main",
            config,
            f"--workdir={workdir}",
            *flags,
            f"--config.train.num_steps={num_steps}",
        ),
        env=environment_of(config),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def train_undisturbed(folder, gan):
    """Train in two processes in `folder`/run; return the folder."""
    path = write_config(folder, gan)
    both = results_of(start(folder / "run", f"--config={path}"))
    assert [code for code, *_ in both] == [0, 0], both
    first, second = both
    assert "on 8 cpu devices of 2 processes in" in first[1]
    # Only process 0 writes text.
    assert not [line for line in second[1].splitlines() if "jaxgan" in line]
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train_undisturbed(tmp_path_factory.mktemp("processes"), "wgan_gp")


def kill_and_start_again(whole, workdir, lost):
    """Kill a process of a run like `whole`; resumed, it ends with equal bytes."""
    config = config_of(whole)
    processes = start(workdir, config)
    wait_for_step(10, workdir, processes)
    processes[lost].kill()
    results = results_of(processes)
    assert results[lost][0] == -signal.SIGKILL
    code, _, error = results[1 - lost]
    assert code == 1
    (line,) = errors(error)
    assert line.startswith(f"jaxgan: error: process {lost} was lost")
    assert "last checkpoint" in line
    assert checkpoint_files.steps_in(workdir / "checkpoints")[-1] < LAST
    assert [code for code, *_ in results_of(start(workdir, config))] == [0, 0]
    assert final_bytes(workdir, LAST) == final_bytes(whole / "run", LAST)
    assert lines(workdir) == lines(whole / "run")
    assert pictures(workdir) == pictures(whole / "run")


def test_a_process_that_is_killed_and_both_started_again(undisturbed, tmp_path):
    kill_and_start_again(undisturbed, tmp_path / "run", lost=1)


@pytest.mark.slow
@pytest.mark.parametrize("gan", FLAGS_OF_GAN)
def test_process_0_of_each_gan_killed_and_both_started_again(gan, tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    kill_and_start_again(train_undisturbed(folder, gan), tmp_path / "run", lost=0)


def test_an_error_that_all_agree_on_ends_all_in_one_line(undisturbed, tmp_path):
    """The batch size is checked after JAX has been started."""
    flags = config_of(undisturbed), "--config.data.batch_size=9"
    both = results_of(start(tmp_path / "run", *flags, script=ENDING_SLOWLY))
    assert [code for code, *_ in both] == [2, 2], both
    for _, _, error in both:
        (line,) = errors(error)
        assert line.startswith("jaxgan: error: --num_processes = 2: ")
        assert "data.batch_size = 9" in line
    assert not (tmp_path / "run").exists()


def test_a_save_that_fails_ends_all_with_its_reason(undisturbed, tmp_path):
    workdir = tmp_path / "run"
    both = results_of(start(workdir, config_of(undisturbed), script=DISK_FAILS))
    assert [code for code, *_ in both] == [1, 1], both
    (line,) = errors(both[0][2])
    reason = line.removeprefix("jaxgan: error: ")
    assert reason.startswith(f"{workdir}/checkpoints: checkpoint 10 ")
    for words in ("[Errno 5] Input/output error", "step 5 is kept", "same command"):
        assert words in reason
    assert errors(both[1][2]) == [f"jaxgan: error: process 0 failed: {reason}"]


@pytest.mark.slow
def test_hardware_that_numbers_the_processes_in_another_way(undisturbed, tmp_path):
    config, workdir = config_of(undisturbed), tmp_path / "run"
    both = results_of(start(workdir, config, script=RENUMBERED))
    assert [code for code, *_ in both] == [0, 0], both
    assert final_bytes(workdir, LAST) == final_bytes(undisturbed / "run", LAST)
    assert lines(workdir) == lines(undisturbed / "run")
    assert checksums.find_damage(workdir / "checkpoints" / str(LAST)) is None
    assert checkpoint_files.read_loop(workdir / "checkpoints", LAST)["digest"]


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("SIGTERM", 1),
        pytest.param("SIGINT", 0, marks=pytest.mark.slow),
        pytest.param("SIGHUP", 1, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_one_saves_the_same_step_of_all(name, to, undisturbed, tmp_path):
    config, workdir = config_of(undisturbed), tmp_path / "run"
    # "Until I stop it": a list of so many calls would not fit into memory.
    processes = start(workdir, config, num_steps=10**9)
    wait_for_step(LAST, workdir, processes)  # both lines that are compared below
    number = signal.Signals[name]
    processes[to].send_signal(number)
    both = results_of(processes)
    assert [code for code, *_ in both] == [128 + number] * 2, both
    step = checkpoint_files.steps_in(workdir / "checkpoints")[-1]
    assert f"stopped by {name}; step {step} is saved in" in both[0][1]
    assert lines(workdir)[:2] == lines(undisturbed / "run")[:2]


def test_two_processes_train_as_one_does(undisturbed, tmp_path):
    train_in_one_process(4, LAST, tmp_path / "run", config_of(undisturbed))
    one, two = lines(tmp_path / "run"), lines(undisturbed / "run")
    assert [row["step"] for row in one] == [10, LAST]
    for mine, others in zip(one, two, strict=True):
        assert mine == pytest.approx(others, rel=1e-4, abs=1e-5)


def test_checkpoints_go_from_any_number_of_devices_to_any_other(undisturbed, tmp_path):
    """Two processes of four devices, then four devices or one, then two processes."""
    config = config_of(undisturbed)
    for devices in (1, 4):
        workdir = tmp_path / str(devices)
        shutil.copytree(undisturbed / "run", workdir)
        output = train_in_one_process(devices, 30, workdir, config)
        assert f"training from step {LAST} on {devices} of 4 cpu devices" in output or (
            f"training from step {LAST} on 4 cpu devices" in output
        )
    one, four = (lines(tmp_path / str(devices)) for devices in (1, 4))
    for mine, others in zip(one, four, strict=True):
        assert mine == pytest.approx(others, rel=1e-4, abs=1e-5)
    both = results_of(start(tmp_path / "1", config, num_steps=40))
    assert [code for code, *_ in both] == [0, 0], both
    assert "training from step 30 on 8 cpu devices of 2 processes" in both[0][1]
