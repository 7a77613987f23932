"""What users type: help, dry runs, mistakes in one line, samples and scores."""

import json

import numpy as np
import pytest
from absl import flags
from helpers import ROOT
from helpers.runs import COMMON, run_in_process, write_config
from PIL import Image

from jaxgan import cli, convert, evaluate, main, sample, translate
from jaxgan.experiment import describe, variants

GP = "--config=configs/wgan_gp.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on digits, conditional on their ten classes."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_config(folder)
    conditional = (
        "    config.gan.conditional = True\n"
        "    config.generator = {'name': 'resnet32', 'width': 4}\n"
        "    config.critic = {'name': 'resnet32', 'width': 4}\n"
        "    config.data.image_size = 32\n"
        "    config.train.num_steps = 10\n"
    )
    text = path.read_text().replace(COMMON, conditional + COMMON)
    path.write_text(text.replace("num_steps=60", "num_steps=10"))
    done = run_in_process(main, f"--config={path}", f"--workdir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize("command", [main, sample, evaluate, translate, convert])
def test_help_names_every_flag_with_its_help_and_default(command, capsys):
    assert command.main(["--help"]) == 0
    text = capsys.readouterr().out
    defined = flags.FlagValues()
    command.define(defined)
    for name in defined:
        assert f"  --{name}: {defined[name].help}" in text
        if defined[name].default not in (None, ""):
            assert f"(default: {defined[name].default})" in text
    if command is sample:
        assert "--num: number of samples (default: 64)" in text


def test_help_of_main_names_every_field(capsys):
    assert main.main(["--help"]) == 0
    text = capsys.readouterr().out
    for recipe in ("wgan", "wgan_gp", "cyclegan"):
        path = str(ROOT / "configs" / f"{recipe}.py")
        for field in variants.flatten(cli.load_config(path, "")):
            assert f"  --config.{field}: " in text
    assert "--config.train.precision: precision of matrix products" in text
    assert "float32, tf32, bfloat16" in text


def test_the_page_of_fields_is_the_table():
    """Written anew: python -c "from jaxgan.experiment.describe import as_markdown;
    print(as_markdown(), end='')" > docs/config.md"""
    assert (ROOT / "docs" / "config.md").read_text() == describe.as_markdown()


def test_dry_run_prints_config_parameters_and_devices(tmp_path, capsys, monkeypatch):
    workdir = tmp_path / "run"
    assert main.main([GP, f"--workdir={workdir}", "--dry_run"]) == 0
    text = capsys.readouterr().out
    assert '"n_critic": 5' in text
    # 64 256 + 256, 256 256 + 256, 256 64 + 64
    assert "generator: 98,880 parameters" in text
    assert "critic: 82,689 parameters" in text
    assert "1,617 training and 180 held-out examples of shape (8, 8, 1)" in text
    assert not workdir.exists()


MISTAKES = [
    (["--config=configs/wgan_gp.py:mnits"], "config variant = mnits: unknown", "mnist"),
    (["--config=configs/nowhere.py"], "--config = configs/nowhere.py", "no such file"),
    ([], "--config: needed", "--config=configs/wgan_gp.py"),
    ([GP, "--config.train.num_stepz=3"], "config field = train.num_stepz", "num_steps"),
    ([GP, "--config.train.num_steps=abc"], "num_steps", "abc"),
    (
        [GP, "--config.train.num_steps=0"],
        "train.num_steps = 0: must be 1 or more",
        "num_epochs",
    ),
    ([GP, "--config.data.name=digitz"], "data.name = digitz: unknown", "digits"),
    ([GP, "--config.gan.penalty=gp"], "gan.penalty = gp: unknown", "gradient_penalty"),
    ([GP, "--config.generator.name=mpl"], "generator.name = mpl: unknown", "mlp"),
    ([GP, "--config.data.name=folder"], "data.dir = ''", "needs the path"),
    (
        [GP, "--config.data.name=idx", "--config.data.dir=/nowhere"],
        "data.dir = /nowhere",
        "train-images-idx3-ubyte",
    ),
    ([GP, "--workdirr=x"], "workdirr", "Unknown"),
    ([GP, "stray"], "stray argument 'stray'", "--name=value"),
    (
        [GP, "--config.parallel.devices=3"],
        "parallel.devices = 3: does not divide",
        "data.batch_size = 64",
    ),
    ([GP, "--config.gan.conditional=True"], "generator.name = mlp", "conditional"),
    (
        ["--config=configs/wgan_gp.py:image64,dir=tests"],
        "data.dir = tests: no images",
        ".png",
    ),
    # The user changed the network, and has not heard of the old one's options.
    (
        [GP, "--config.generator.name=resnet64"],
        "generator.name = resnet64: takes square images",
        "found 8x8",
    ),
    (
        [GP, "--config.critic.name=dcgan_5x5"],
        "critic.name = dcgan_5x5: needs the options width, norm",
        "another network",
    ),
    ([GP, "--config.gan.name=wgan"], "gan.name = wgan: needs gan.clip", "config of"),
    ([GP, "--config.gan.name=wagn"], "gan.name = wagn: unknown", "nearest: wgan"),
]


@pytest.mark.parametrize(("arguments", "first", "second"), MISTAKES)
def test_mistakes_are_one_line_and_exit_2(arguments, first, second, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert main.main([*arguments, f"--workdir={workdir}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxgan: error: ")
    assert error.count("\n") == 1
    assert first in error
    assert second
    assert second in error
    assert not workdir.exists()


def test_workdir_that_cannot_be_made_is_one_line_and_exit_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main.main([GP, f"--workdir={tmp_path / 'file' / 'run'}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("jaxgan: error: ")
    assert error.count("\n") == 1
    assert "Not a directory" in error


def test_all_problems_of_a_config_at_once(capsys):
    wrong = ["--config.gan.n_critic=0", "--config.gan.latent=gauss"]
    assert main.main([GP, *wrong, "--dry_run"]) == 2
    error = capsys.readouterr().err
    assert "gan.n_critic = 0: must be 1 or more" in error
    assert "gan.latent = gauss: unknown; valid: normal, uniform" in error


def test_samples_as_grid_folder_and_array(finished, tmp_path):
    def draw(out, *more):
        name = tmp_path / out
        assert sample.main([f"--workdir={finished}", f"--out={name}", *more]) == 0
        return name

    grid = np.asarray(Image.open(draw("grid.png", "--num=10")))
    assert grid.shape == (34 * 3 - 2, 34 * 4 - 2)
    arrays = np.load(draw("many.npz", "--num=10", "--labels=3,7"))
    assert arrays["image"].shape == (10, 32, 32, 1)
    assert arrays["image"].dtype == np.uint8
    assert arrays["label"].tolist() == [3, 7] * 5
    folder = draw("single", "--num=10", "--labels=3,7")
    files = sorted(folder.iterdir())
    assert len(files) == 10
    for path, image in zip(files, arrays["image"], strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), image[..., 0])
    other = np.load(draw("other.npz", "--num=10", "--labels=3,7", "--seed=1"))
    assert np.any(other["image"] != arrays["image"])


def test_interpolations_are_rows_of_eight(finished, tmp_path):
    out = tmp_path / "rows.png"
    given = [f"--workdir={finished}", f"--out={out}", "--interpolate", "--num=16"]
    assert sample.main(given) == 0
    assert np.asarray(Image.open(out)).shape == (34 * 2 - 2, 34 * 8 - 2)
    array = f"--out={tmp_path / 'rows.npz'}"
    given = [f"--workdir={finished}", array, "--interpolate", "--num=12"]
    assert sample.main([*given, "--labels=3,7"]) == 0
    arrays = np.load(tmp_path / "rows.npz")
    assert arrays["label"].tolist() == [3] * 8 + [7] * 8
    assert len(arrays["image"]) == 16


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--step=3"], "--step = 3: no such checkpoint; there are 10"),
        (["--labels=12"], "--labels = 12: must be a class from 0 to 9"),
        (["--num=0"], "num"),
    ],
)
def test_sampling_mistakes(finished, given, message, capsys):
    assert sample.main([f"--workdir={finished}", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_workdirs_elsewhere_are_refused(capsys):
    for command, more in ((main, [GP]), (sample, []), (evaluate, [])):
        assert command.main([*more, "--workdir=s3://bucket/run"]) == 2
        assert "must be a local folder or gs://..." in capsys.readouterr().err


def test_mistake_in_init_from_leaves_nothing_behind(tmp_path, capsys):
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    for workdir in (new, old):
        given = [f"--workdir={workdir}", "--config.train.init_from=/nowhere"]
        assert main.main([GP, *given]) == 2
        assert "/nowhere" in capsys.readouterr().err
    assert not new.exists()
    assert list(old.iterdir()) == []


def test_workdir_without_a_run(tmp_path, capsys):
    assert sample.main([f"--workdir={tmp_path}"]) == 2
    assert evaluate.main([f"--workdir={tmp_path}"]) == 2
    assert "config.json: not found" in capsys.readouterr().err


def test_evaluation_is_printed_and_appended(finished, capsys):
    given = [f"--workdir={finished}", "--num_samples=50"]
    assert evaluate.main(given) == 0
    assert evaluate.main([*given, "--step=all"]) == 0
    assert "wasserstein_ratio" in capsys.readouterr().out
    rows = (finished / "evaluation.jsonl").read_text().splitlines()
    first, second = (json.loads(row) for row in rows)
    assert first == second
    assert first["step"] == 10
    assert first["wasserstein_samples"] == 50
    ratio = first["wasserstein"] / first["wasserstein_real"]
    assert first["wasserstein_ratio"] == ratio
    assert ratio > 1.2  # ten steps are far from enough
    assert evaluate.main([*given, "--metrics=modes"]) == 2
    assert "--metrics = modes: not for wgan_gp" in capsys.readouterr().err
    assert evaluate.main([*given, "--metrics=fid"]) == 2
