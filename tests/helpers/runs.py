"""Small real runs for the tests of the loop and the commands."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from helpers import COMPILE_FLAGS, ROOT
from jaxgan.experiment import stored
from jaxgan.workdir import checkpoint_files

VARYING = ("seconds", "images_per_second")
LAST = 60  # step of the small runs

# WGAN with BatchNorm, a moving average, and the critic's long start; WGAN-GP with
# dequantization noise; CycleGAN with dropout, pools that overflow and a moving average.
# They use real digits and photographs, and take several steps in a call.
SMALL = {
    "wgan": (
        "from configs.wgan import get_config as base\n"
        "def get_config(variant=''):\n"
        "    config = base(variant)\n"
        "    config.generator = {'name': 'dcgan_5x5', 'width': 4, 'norm': 'batch',\n"
        "                        'output': 'tanh'}\n"
        "    config.critic.hidden = (16,)\n"
        "    config.gan.ema_decay = 0.9\n"
        "    config.data.batch_size = 8\n"
    ),
    "wgan_gp": (
        "from configs.wgan_gp import get_config as base\n"
        "def get_config(variant=''):\n"
        "    config = base(variant)\n"
        "    config.generator.hidden = config.critic.hidden = (32,)\n"
        "    config.data.value_range = 'dequantized'\n"
        "    config.data.batch_size = 8\n"
    ),
    "cyclegan": (
        "from configs.cyclegan import get_config as base\n"
        "def get_config(variant=''):\n"
        "    config = base(variant)\n"
        "    config.generator.update(name='resnet_1blocks', width=4, dropout=True)\n"
        "    config.critic.update(name='pixel', width=4)\n"
        "    config.data.update(resize=18, image_size=16)\n"
        "    config.gan.update(pool_size=10, ema_decay=0.9, identity_weight=0.5)\n"
        "    config.data.batch_size = 2\n"
    ),
}
SHAPES = {"wgan": (8, 8, 1), "wgan_gp": (8, 8, 1), "cyclegan": (16, 16, 3)}
COMMON = (
    "    config.train.update(num_steps=60, log_steps=10, sample_steps=20,\n"
    "                        checkpoint_steps=10, steps_per_call=5)\n"
    "    config.parallel.devices = 1\n"
    "    config.eval.heldout_examples = 16\n"
    "    return config\n"
)


def write_config(folder, gan="wgan_gp"):
    """Write a small config of a Gan into a folder and return its path."""
    path = Path(folder) / f"{gan}.py"
    path.write_text(SMALL[gan] + COMMON)
    return path


def command(name, *arguments):
    """Return the command line that runs a command in its own process."""
    return [sys.executable, "-m", f"jaxgan.{name}", *map(str, arguments)]


def environment(arguments, quick=False):
    """Return the environment of a user's process: one device, and the sources' path.

    With `quick`, it compiles without most optimizations. Networks with convolutions
    always do, because compiling them takes longer than the steps.
    """
    convolutions = "/cyclegan.py", "/wgan.py"
    quick = quick or any(str(argument).endswith(convolutions) for argument in arguments)
    own = {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "",
    }
    if quick:
        own["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        own["XLA_FLAGS"] = COMPILE_FLAGS
    return {**os.environ, **own}


def run(name, *arguments, quick=False):
    """Run a command to its end in its own process."""
    return subprocess.run(
        command(name, *arguments),
        env=environment(arguments, quick),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class Done(NamedTuple):
    """The result of a command, named as in subprocess.CompletedProcess."""

    returncode: int
    stdout: str
    stderr: str


def run_in_process(module, *arguments):
    """Run a command to its end in this process, where JAX starts only once.

    It compiles without most optimizations, so its bits are not those of `run`.
    """
    out, err = io.StringIO(), io.StringIO()
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = module.main([*map(str, arguments)])
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    return Done(code, out.getvalue(), err.getvalue())


def run_until(number, line_of_step, workdir, *arguments):
    """Start training, send a signal once a step is logged; return code and output."""
    with subprocess.Popen(
        command("main", *arguments, f"--workdir={workdir}"),
        env=environment(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        log = Path(workdir) / "metrics.jsonl"
        limit = time.monotonic() + 120
        while time.monotonic() < limit and process.poll() is None:
            if log.exists() and f'"step": {line_of_step},' in log.read_text():
                break
            time.sleep(0.005)
        process.send_signal(number)
        output = process.communicate()[0]
    return process.returncode, output


def signal_after(seconds, number, *arguments):
    """Start training, and send a signal after some seconds unless it has ended."""
    with subprocess.Popen(
        command("main", *arguments),
        env=environment(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            out, err = process.communicate(timeout=100)
    return Done(process.returncode, out, err)


def kill_at(step, workdir, *arguments):
    """Start training and kill it with SIGKILL once a step is logged."""
    code, output = run_until(signal.SIGKILL, step, workdir, *arguments)
    assert code == -signal.SIGKILL, output


def lines(workdir):
    """Return the lines of metrics.jsonl without the values that may vary."""
    text = (Path(workdir) / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in row.items() if k not in VARYING} for row in rows]


def final_bytes(workdir, step):
    """Return the bytes of every array of a checkpoint, by name."""
    experiment = stored.load(workdir)
    gan = experiment.gan(SHAPES[experiment.gan_name])
    like = jax.eval_shape(gan.init, jax.random.key(0))
    state, _ = checkpoint_files.read(Path(workdir) / "checkpoints", step, like)
    arrays = checkpoint_files.to_arrays(state)
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def pictures(workdir):
    """Return the bytes of every sample grid, by name."""
    folder = Path(workdir) / "samples"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same_run(folder, workdir):
    assert final_bytes(workdir, LAST) == final_bytes(folder / "run", LAST)
    assert lines(workdir) == lines(folder / "run")
    assert pictures(workdir) == pictures(folder / "run")


def config_of(folder):
    return f"--config={next(folder.glob('*.py'))}"
