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
