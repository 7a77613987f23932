"""Checks before anything is loaded or allocated: shapes, memory, and likely reasons."""

import runpy

import jax
import pytest
from helpers import ROOT

from jaxgan import cli, main
from jaxgan.data import memory as data_memory
from jaxgan.data.memory import total_memory
from jaxgan.errors import UserError
from jaxgan.experiment import build, diagnosis, memory, preflight
from jaxgan.experiment.variants import flatten

NAMES = "wgan", "wgan_gp", "cyclegan"
FILES = {name: str(ROOT / "configs" / f"{name}.py") for name in NAMES}
ALL = [
    (name, variant)
    for name, path in FILES.items()
    for variant in ("", *runpy.run_path(path)["VARIANTS"])
]
DEVICES = jax.devices()[:1]


def experiment(name, choice=""):
    return build(cli.load_config(FILES[name], choice))


QUICK = [
    ("wgan", "image64"),
    ("wgan_gp", "toy"),
    ("wgan_gp", "cifar10_resnet_conditional"),
    ("cyclegan", "tutorial"),
]


@pytest.mark.parametrize(("name", "variant"), QUICK)
def test_a_recipe_passes(name, variant):
    preflight.check_run(experiment(name, variant), DEVICES)


@pytest.mark.slow
def test_every_recipe_passes():
    sets = set()  # CycleGAN's variants differ only in their data sets
    for name, variant in ALL:
        values = experiment(name, variant).values
        sets.add(str({n: v for n, v in values.items() if n != "data.name"}))
    assert 15 < len(sets) < len(ALL)
    for name, variant in ALL:
        run = experiment(name, variant)
        recipe = str({n: v for n, v in run.values.items() if n != "data.name"})
        if recipe in sets:
            sets.remove(recipe)
            preflight.check_run(run, DEVICES)
    assert not sets


WRONG_SHAPES = [
    ("cyclegan", "critic.num_layers=5", "critic.name = patch (critic.num_layers = 5)"),
    (
        "cyclegan",
        "critic.num_layers=9",
        "has no output for 64x64 images; must have larger",
    ),
    ("cyclegan", "data.image_size=4", "unet takes multiples of 32"),
    (
        "cyclegan",
        "generator.name=resnet_6blocks,data.image_size=4",
        "resnet_6blocks takes multiples of 4 from 8",
    ),
    (
        "cyclegan",
        "generator.name=resnet_6blocks,data.image_size=8",
        "critic.name = patch (critic.num_layers = 3) has no output",
    ),
    ("wgan_gp", "image64,data.image_size=63", "takes square images whose side is 64"),
    ("wgan", "image64,data.image_size=48", "a power of two, 16 at least, found 48x48"),
    ("wgan", "cifar10,data.image_size=33", "found 33x33"),
]


@pytest.mark.parametrize(("name", "choice", "message"), WRONG_SHAPES)
def test_networks_that_do_not_fit_the_images_are_refused(name, choice, message):
    with pytest.raises(UserError) as error:
        preflight.check_run(experiment(name, choice), DEVICES)
    assert message in str(error.value)


def test_an_error_of_jax_names_the_network(monkeypatch):
    def fail(*arguments):
        raise TypeError("shapes\n(3,) and (4,)")

    monkeypatch.setattr(preflight, "_follow_shapes", fail)
    message = (
        r"^data\.image_size = 0: generator\.name = mlp cannot take 8x8 images "
        r"\(TypeError: shapes\\n\(3,\) and \(4,\)\)$"
    )
    with pytest.raises(UserError, match=message):
        preflight.check_run(experiment("wgan"), DEVICES)


# Memory

TOO_LARGE = [
    ("wgan_gp", "data.image_size=8000", "networks and optimizers 733.9 GiB"),
    ("wgan_gp", "train.steps_per_call=1000000", "batches 19.07 GiB"),
    ("cyclegan", "gan.pool_size=1000000", "image pools 61.04 GiB"),
    ("cyclegan", "data.batch_size=1000000", "layers 378.7 GiB"),
    ("cyclegan", "data.resize=10000", "decoded images 19.56 GiB"),
    ("cyclegan", "generator.width=20000", "networks and optimizers "),
]


@pytest.mark.parametrize(("name", "choice", "part"), TOO_LARGE)
def test_a_run_that_exceeds_the_memory_is_refused(name, choice, part, monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: 10 * 10**9)
    start = choice.replace("=", " = ")
    if "steps_per_call" in choice:
        intervals = ("num_steps", "log_steps", "sample_steps", "checkpoint_steps")
        choice += "".join(f",train.{n}=1000000" for n in intervals)
    with pytest.raises(UserError) as error:
        preflight.check_run(experiment(name, choice), DEVICES)
    assert str(error.value).startswith(f"{start}: the run's memory is at least ")
    assert part in str(error.value)
    assert "this machine has 9.313 GiB; " in str(error.value)


def test_the_estimate_is_the_size_of_what_is_made():
    run = experiment("wgan_gp", "gan.ema_decay=0.9")
    layers = preflight.check_shapes(run, (8, 8, 1), 0)
    assert sorted(layers["generator"]) == [64, 256, 256]
    assert sorted(layers["critic"]) == [1, 256, 256]
    parts = memory.estimate(run, (8, 8, 1), 0, layers, DEVICES)
    # The networks and Adam's two moments of them, the average, the step and two counts.
    generator, critic = 98_880, 82_689
    elements = 3 * (generator + critic) + generator + 3
    assert parts == {
        "networks and optimizers": 2 * 4 * elements,  # with the copy of a checkpoint
        "image pools": 0,
        "batches": 10 * 5 * 64 * 64,  # steps, critic steps, examples, pixels
        "layers": 64 * (64 + 1 + 4 * 256) * 4,
        "examples on the device": 0,
        "decoded images": 1797 * 64,
    }
    # With remat, the layers of the two networks are never needed at the same time.
    run = experiment("wgan_gp", "gan.ema_decay=0.9,train.remat=True")
    parts = memory.estimate(run, (8, 8, 1), 0, layers, DEVICES)
    assert parts["layers"] == 64 * (64 + 2 * 256) * 4
    assert memory.describe({"a": 10, "b": 2_000_000, "c": 0}) == (
        "at least 1.907 MiB (b 1.907 MiB, a 10 bytes)"
    )


class Accelerator:
    """A device with a memory of its own."""

    process_index, platform = 0, "gpu"

    def memory_stats(self):
        return {"bytes_limit": 20 * 10**6}

    def __str__(self):
        return "gpu:7"


def test_an_accelerator_has_its_own_memory():
    run = experiment("cyclegan")
    with pytest.raises(UserError, match=r"and gpu:7 has 19.07 MiB"):
        preflight.check_run(run, [Accelerator()])
    pools = experiment("wgan_gp")
    preflight.check_run(pools, [Accelerator()])


def test_examples_on_the_device_count():
    run = experiment("wgan_gp", "data.cache=device")
    feed = run.feed(run.load_data())
    layers = preflight.check_shapes(run, (8, 8, 1), 0)
    arguments = run, (8, 8, 1), 0, layers
    parts = memory.estimate(*arguments, [Accelerator()], feed.device_data)
    assert parts["examples on the device"] == 1617 * (64 + 4)  # pixels and a label
    shared = memory.estimate(*arguments, DEVICES[:1] * 3, feed.device_data)
    assert shared["examples on the device"] == 3 * 1617 * (64 + 4)
    parts["examples on the device"] = 10**9
    with pytest.raises(
        UserError, match=r"^data\.cache = device: .*=memory takes less$"
    ):
        memory.check(run, parts, [Accelerator()])


def test_the_memory_of_devices_is_the_least():
    class Small(Accelerator):
        def memory_stats(self):
            return {"bytes_limit": 10**6}

    class Silent(Accelerator):
        def memory_stats(self):
            return None

    assert memory.own_memory([Accelerator(), Small()]) == 10**6
    assert memory.own_memory([Accelerator(), Silent()]) == 0
    assert memory.own_memory(DEVICES) == 0


def test_advice_after_running_out_of_memory():
    advice = memory.advice(experiment("cyclegan", "data.batch_size=3"), "no 9 bytes")
    assert advice.startswith("out of memory (no 9 bytes); ")
    assert "state alone takes 47.4" in advice
    assert "data.batch_size = 3" in advice
    assert "\n" not in advice
    unknown = experiment("wgan", "cifar10,data.image_size=0")
    assert "state" not in memory.advice(unknown, "")


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    whole = total_memory()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(data_memory, "LIMIT_FILES", (str(limit),))
    for text, expected in (
        ("max\n", whole),
        ("1000000\n", 10**6),
        (str(10**30), whole),
    ):
        limit.write_text(text)
        assert total_memory() == expected
    limit.write_text("1000")
    with pytest.raises(UserError, match=r"^x = 5: samples take 0\.0 GiB, the machine"):
        data_memory.check_fits(2000, "x = 5", "fewer expected", "samples")
    assert memory.format_bytes(98.3 * 2**30) == "98.3 GiB"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("", "data.image_size = 64: the decoded images take"),
        ("cyclegan", "data.resize = 72: the decoded images take"),
    ],
)
def test_images_that_exceed_the_memory_are_refused(choice, message, monkeypatch):
    monkeypatch.setattr(data_memory, "total_memory", lambda: 10**6)
    run = experiment(choice or "wgan_gp", "" if choice else "data.image_size=64")
    with pytest.raises(UserError) as error:
        run.load_data()
    assert message in str(error.value)


def test_a_dry_run_refuses_what_training_would(tmp_path, capsys):
    config = f"--config={FILES['cyclegan']}"
    given = [config, "--config.critic.num_layers=9", f"--workdir={tmp_path / 'run'}"]
    lines = set()
    for more in ([], ["--dry_run"]):
        assert main.main([*given, *more]) == 2
        lines.add(capsys.readouterr().err)
    (line,) = lines
    assert line.startswith("jaxgan: error: data.image_size = 64: critic.name = patch")
    assert not (tmp_path / "run").exists()


def test_too_many_steps_and_long_epochs_are_refused():
    class Plan:
        num_examples = 10**6

        def steps(self, epochs):
            return epochs * 1000

    run = experiment("wgan", "train.num_steps=0,train.num_epochs=2000001")
    with pytest.raises(
        UserError, match=r"^train\.num_epochs = 2000001: has 2,000,001,0"
    ):
        run.num_steps(Plan())
    run = experiment("cyclegan", "folder,data.batch_size=2048")
    with pytest.raises(UserError, match=r"^optimizer\.generator\.decay_epochs = 100:"):
        run.gan((256, 256, 3), epoch_examples=2**20)


# Likely reasons


def test_the_recipes_are_within_the_table_of_reasons():
    values = [flatten(cli.load_config(FILES[n], v)) for n, v in ALL]
    found = {
        name: max(fields[name] for fields in values if name in fields)
        for name in diagnosis.LARGEST_IN_RECIPES
    }
    exact = {n: v for n, v in diagnosis.LARGEST_IN_RECIPES.items() if v == found[n]}
    above = diagnosis.LARGEST_IN_RECIPES.keys() - exact.keys()
    assert above == {"gan.drift_weight", "generator.gain", "critic.gain"}
    assert all(found[name] < diagnosis.LARGEST_IN_RECIPES[name] for name in above)
    targets = {fields.get("gan.penalty_target", 1.0) for fields in values}
    assert targets == {diagnosis.SMALLEST_IN_RECIPES["gan.penalty_target"]}


@pytest.mark.parametrize(
    ("name", "choice", "reason"),
    [
        ("wgan", "", ""),
        ("wgan", "optimizer.critic.learning_rate=0.009", ""),
        (
            "wgan",
            "optimizer.critic.learning_rate=0.01",
            "optimizer.critic.learning_rate = 0.01 (the recipes have at most 0.001)",
        ),
        (
            "wgan_gp",
            "gan.penalty_weight=1e5,gan.drift_weight=1",
            "gan.penalty_weight = ",
        ),
        (
            "wgan_gp",
            "gan.penalty_target=0.001",
            "0.001 (the recipes have at least 1)",
        ),
        (
            "wgan_gp",
            "train.precision=bfloat16",
            "because of train.precision = bf",
        ),
        ("cyclegan", "gan.penalty_weight=1e5,gan.clip=100", ""),
        (
            "cyclegan",
            "wgan_gp,gan.penalty_weight=1e5,gan.clip=1e6",
            "gan.penalty_weight",
        ),
        ("cyclegan", "gan.adversarial=wasserstein,gan.clip=10", "gan.clip = 10"),
        ("cyclegan", "critic.gain=50", "critic.gain = 50"),
    ],
)
def test_the_likely_reason_is_the_value_farthest_from_the_recipes(name, choice, reason):
    found = diagnosis.likely_reason(experiment(name, choice))
    assert reason in found
    assert bool(reason) == bool(found)
