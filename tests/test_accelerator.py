"""Training on the GPU or TPU that is there, in processes of its own."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ACCELERATOR
from helpers import ROOT

PLATFORM = "import jax; print(jax.devices()[0].platform)"


@pytest.fixture(scope="module")
def environment():
    """The environment of processes that may use an accelerator."""
    environment = os.environ | {"JAX_PLATFORMS": ACCELERATOR}
    del environment["XLA_FLAGS"]
    command = [sys.executable, "-c", PLATFORM]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    if found.stdout.strip() in ("", "cpu"):
        pytest.skip("no GPU or TPU here")
    return environment


@pytest.mark.accelerator
@pytest.mark.parametrize("recipe", ["wgan", "wgan_gp", "cyclegan"])
def test_a_recipe_trains_on_it_and_resumes(recipe, environment, tmp_path):
    command = [sys.executable, "-m", "jaxgan.main", f"--config=configs/{recipe}.py"]
    command += [f"--workdir={tmp_path}", "--config.train.log_steps=10"]
    for steps in (20, 40):
        done = subprocess.run(
            [*command, f"--config.train.num_steps={steps}"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "cpu" not in done.stdout
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30, 40]


@pytest.mark.accelerator
@pytest.mark.parametrize("recipe", ["wgan_gp", "cyclegan"])
def test_where_the_examples_are_kept_does_not_matter(recipe, environment, tmp_path):
    """By default they are kept on it, and the metrics are the same to the digit."""
    lines = {}
    for cache, on_device in (("auto", True), ("memory", False)):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "jaxgan.main",
                f"--config=configs/{recipe}.py",
                f"--workdir={tmp_path / cache}",
                f"--config.data.cache={cache}",
                "--config.train.deterministic=True",
                "--config.train.num_steps=20",
                "--config.train.log_steps=10",
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert ("kept on the device" in done.stdout) is on_device
        text = (tmp_path / cache / "metrics.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        varying = ("seconds", "images_per_second")
        lines[cache] = [{k: v for k, v in r.items() if k not in varying} for r in rows]
    assert lines["auto"] == lines["memory"]
