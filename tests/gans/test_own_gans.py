"""GANs outside of the package: the examples of docs/code.md, as commands train them."""

import json
import re

import jax
import pytest
from helpers import ROOT
from helpers.runs import run_in_process
from jax.flatten_util import ravel_pytree

from jaxgan import evaluate, main, sample, translate
from jaxgan.errors import UserError
from jaxgan.experiment import stored
from jaxgan.gans import GANS, Kind, find_gan
from jaxgan.workdir import checkpoint_files

SMALL = {
    "hinge_digits.py": {
        "generator.hidden": "(16,)",
        "critic.hidden": "(16,)",
        "data.batch_size": 8,
        "gan.n_critic": 2,
        "gan.ema_decay": 0.5,
    },
    "unpooled_day_night.py": {
        "generator.name": "resnet_1blocks",
        "generator.width": 4,
        "critic.name": "pixel",
        "critic.width": 4,
        "gan.ema_decay": 0.5,
        "data.resize": 18,
        "data.image_size": 16,
        "eval.heldout_examples": 2,
    },
}
RUN = {
    "train.num_steps": 4,
    "train.log_steps": 2,
    "train.sample_steps": 4,
    "train.checkpoint_steps": 4,
    "train.steps_per_call": 1,
    "parallel.devices": 1,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of the page, from which modules are imported."""
    page = (ROOT / "docs" / "code.md").read_text()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def train(folder, recipe):
    """Train a recipe of the page, small, and return the workdir."""
    workdir = folder / "run"
    fields = RUN | SMALL[recipe]
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    where = f"--config={folder / recipe}", f"--workdir={workdir}"
    done = run_in_process(main, *where, *flags)
    assert done.returncode == 0, done.stderr
    return workdir


def metrics(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_average_follows(workdir, shape):
    """Check that the average in the checkpoint lags behind the trained generator.

    After four steps with decay 0.5 a 16th of it is the first generator's. Samples come
    from it: one that no turn updates would draw them from the first parameters.
    """
    gan = stored.load(workdir).gan(shape)
    first = gan.init(jax.random.key(0))
    trained, _ = checkpoint_files.read(workdir / "checkpoints", 4, first)
    average = ravel_pytree(trained.memory["average"]["params"])[0]
    to_last, to_first = (
        abs(average - ravel_pytree(state.generator.params)[0]).mean()
        for state in (trained, first)
    )
    assert 0 < to_last < to_first


def test_a_gan_that_draws_from_latents(folder, plain_convolutions):
    workdir = train(folder, "hinge_digits.py")
    rows = metrics(workdir)
    assert [row["step"] for row in rows] == [2, 4]
    names = {"critic/loss", "generator/loss", "heldout/wasserstein"}
    assert names <= rows[-1].keys()
    # It is 2 for scores of zero, and 1 less for scores that are right by the margin.
    assert all(0 < row["critic/loss"] < 10 for row in rows)
    assert_average_follows(workdir, (8, 8, 1))
    out = folder / "samples.npz"
    run = f"--workdir={workdir}"
    assert run_in_process(sample, run, "--num=3", f"--out={out}").returncode == 0
    assert run_in_process(evaluate, run, "--num_samples=4").returncode == 0


def test_a_gan_that_translates(folder, plain_convolutions):
    workdir = train(folder, "unpooled_day_night.py")
    rows = metrics(workdir)
    assert [row["step"] for row in rows] == [2, 4]
    assert {"critic/a", "generator/cycle_b", "heldout/psnr_a2b"} <= rows[-1].keys()
    assert_average_follows(workdir, (16, 16, 3))
    done = run_in_process(
        translate,
        f"--workdir={workdir}",
        f"--input={workdir / 'samples'}",
        f"--output={folder / 'translated'}",
        "--direction=b2a",
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "translated").glob("*.png"))


def test_the_table_names_what_exists():
    for name, kind in GANS.items():
        assert isinstance(find_gan(name), Kind)
        assert kind.make.__name__ == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wgan_pg", "unknown; valid: cyclegan, wgan, wgan_gp; nearest: wgan_gp"),
        ("nowhere:GAN", "cannot be imported"),
        ("math:GAN", "cannot be imported"),
        (":x", "cannot be imported"),
        ("math:pi", "is a float; must be a jaxgan.gans.Kind"),
    ],
)
def test_a_gan_that_is_none_is_refused(name, message):
    with pytest.raises(UserError) as error:
        find_gan(name)
    assert str(error.value).startswith(f"gan.name = {name}: ")
    assert message in str(error.value)
