"""The CycleGAN config: the paper's table, the official code's, the tutorial's."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT

from jaxgan import cli
from jaxgan.data import PairPlan
from jaxgan.errors import UserError
from jaxgan.experiment import build, translation_family, variants

CONFIG = runpy.run_path(str(Path(__file__).parents[2] / "configs" / "cyclegan.py"))
KEY = jax.random.key(0)


def get(choice=""):
    return CONFIG["get_config"](choice)


def state_of(settings):
    side = settings.data.image_size
    gan = build(settings).gan((side, side, 3))
    return jax.eval_shape(gan.init, KEY)


def counts(settings):
    """Return the parameters of one generator and of one critic."""
    state = state_of(settings)
    found = {}
    for player in ("generator", "critic"):
        sizes = {
            name: sum(leaf.size for leaf in jax.tree.leaves(params))
            for name, params in getattr(state, player).params.items()
        }
        assert len(set(sizes.values())) == 1
        found[player] = next(iter(sizes.values()))
    return found["generator"], found["critic"]


# docs/papers.md, "CycleGAN: ResNet generator" and the sections that follow it.
@pytest.mark.parametrize("variant", [*CONFIG["TFDS"], "folder"])
def test_the_papers_recipe(variant):
    fields = variants.flatten(get(variant))
    expected = {
        "gan.adversarial": "lsgan",
        "gan.cycle_weight_a": 10.0,
        "gan.cycle_weight_b": 10.0,
        "gan.identity_weight": 0.5,
        "gan.pool_size": 50,
        "generator.name": "resnet_9blocks",
        "generator.width": 64,
        "generator.norm": "instance",
        "generator.padding": "reflect",
        "generator.dropout": False,
        "generator.initializer": "normal",
        "generator.gain": 0.02,
        "critic.name": "patch",
        "critic.width": 64,
        "critic.num_layers": 3,
        "data.resize": 286,
        "data.image_size": 256,
        "data.batch_size": 1,
        "data.flip": True,
        "train.num_steps": 0,
        "train.num_epochs": 200,
    }
    for player in ("generator", "critic"):
        expected |= {
            f"optimizer.{player}.name": "adam",
            f"optimizer.{player}.learning_rate": 2e-4,
            f"optimizer.{player}.b1": 0.5,
            f"optimizer.{player}.b2": 0.999,
            f"optimizer.{player}.constant_epochs": 100,
            f"optimizer.{player}.decay_epochs": 100,
        }
    assert {field: fields[field] for field in expected} == expected
    name = "folder" if variant == "folder" else f"tfds:cycle_gan/{variant}"
    assert fields["data.name"] == name


def test_an_epoch_of_horse2zebra_and_its_rate():
    """1,067 horses, 1,334 zebras: 266,800 iterations of batch 1."""
    settings = get("horse2zebra")
    plan = PairPlan(1067, 1334, batch_size=1, seed=0)
    assert build(settings).num_steps(plan) == 266_800
    values = build(settings).values
    optimizer = translation_family.optimizer(values, "generator", plan.num_examples)
    first_steps = np.array([1, 100, 101, 200]) * 1334 - 1334
    rates = [float(optimizer.learning_rate(step)) for step in first_steps]
    np.testing.assert_allclose(
        rates, 2e-4 * np.array([1, 1, 100 / 101, 1 / 101]), rtol=1e-6
    )


def test_parameters():
    assert counts(get("horse2zebra")) == (11_378_179, 2_764_737)
    assert counts(get("folder,size=128")) == (7_837_699, 2_764_737)
    # Tutorial 12: all convolutions have biases, the generator's InstanceNorm no
    # parameters, BatchNorm a scale and an offset after the critic's 2nd to 4th.
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert counts(get("tutorial")) == (7_837_699, kernels + 961 + 2 * 896)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("folder,size=64", (72, 64, "resnet_6blocks")),
        ("folder,size=128", (143, 128, "resnet_6blocks")),
        ("horse2zebra,size=256", (286, 256, "resnet_9blocks")),
        ("folder,size=128,generator.name=unet_128", (143, 128, "unet_128")),
        ("folder,data.resize=150,size=128", (150, 128, "resnet_6blocks")),
    ],
)
def test_sizes_choose_the_blocks_as_the_paper_does(choice, expected):
    settings = get(choice)
    build(settings)
    found = settings.data.resize, settings.data.image_size, settings.generator.name
    assert found == expected


def test_another_size_is_refused():
    with pytest.raises(UserError, match=r"^size = 96: valid: 64, 128, 256; for others"):
        get("folder,size=96")


def test_tutorial_is_as_written_there():
    fields = variants.flatten(get("tutorial"))
    assert fields["gan.adversarial"] == "wasserstein"
    assert fields["gan.clip"] == 0.01
    assert fields["gan.cycle_weight_a"] == fields["gan.cycle_weight_b"] == 1.0
    assert fields["gan.identity_weight"] == 0.0
    assert fields["generator.block"] == "tutorial"
    assert fields["critic.name"] == "tutorial"
    unet = build(get("tutorial,generator.name=unet")).networks((64, 64, 3))
    assert unet.generator.num_downs == 6


def test_whole_step_of_the_default_has_its_shapes():
    settings = get()
    gan = build(settings).gan((64, 64, 3))
    state = jax.eval_shape(gan.init, KEY)
    image = jax.ShapeDtypeStruct((1, 2, 64, 64, 3), jnp.uint8)
    after, metrics = jax.eval_shape(
        gan.train_step, state, {"a": image, "b": image}, KEY
    )
    assert after == state
    # The names that users and checks rely on: docs/commands.md.
    names = {f"generator/{t}" for t in ("adversarial_a2b", "adversarial_b2a")}
    names |= {"generator/cycle_a", "generator/cycle_b"}
    names |= {"critic/a", "critic/b", "critic/loss", "generator/loss"}
    names |= {"learning_rate/generator", "learning_rate/critic"}
    assert metrics.keys() == names
    for value in metrics.values():
        assert (value.shape, value.dtype) == ((), jnp.float32)


WRONG = {
    "gan.adversarial": ("wgangp", "nearest: wgan_gp"),
    "gan.pool_size": (-1, "must be a whole number from 0 to"),
    "gan.cycle_weight_a": (-1.0, "must be a number from 0 to"),
    "gan.clip": (0.0, "must be a number from 1e-06 to"),
    "data.cache": ("disc", "nearest: disk"),
    "optimizer.critic.decay_epochs": (5, "given in steps and in epochs"),
}


def with_fields(values, choice=""):
    settings = get(choice)
    settings.update_from_flattened_dict(values)
    return settings


@pytest.mark.parametrize("field", WRONG)
def test_wrong_values_are_told(field):
    value, reason = WRONG[field]
    with pytest.raises(UserError) as error:
        build(with_fields({field: value}))
    assert str(error.value).startswith(f"{field} = {value}: ")
    assert reason in str(error.value)


def test_a_penalised_critic_must_not_mix_examples():
    with pytest.raises(UserError, match=r"^critic\.norm = batch: a penalised critic"):
        build(with_fields({"critic.norm": "batch"}, "wgan_gp"))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("generator.name", "unet_48", r"generator\.name = unet_48: unknown"),
        ("generator.name", "unet_128", r"data\.image_size = 64: unet_128 takes"),
        ("generator.padding", "mirror", r"generator\.padding = mirror: unknown"),
        ("critic.num_layers", 0, r"critic\.num_layers = 0"),
    ],
)
def test_wrong_networks_are_told(field, value, reason):
    with pytest.raises(UserError, match=reason):
        build(with_fields({field: value})).gan((64, 64, 3))


def test_a_unet_of_no_depth_is_refused():
    with pytest.raises(UserError, match=r"data\.image_size = 48: unet takes multiples"):
        build(get("generator.name=unet")).networks((48, 48, 3))


def test_a_norm_of_other_gans_is_not_offered():
    config = cli.load_config(str(ROOT / "configs" / "cyclegan.py"), "")
    config.generator.norm = "layer norm"
    with pytest.raises(UserError) as error:
        build(config)
    assert str(error.value) == (
        "generator.norm = layer norm: unknown; valid: batch, instance, none"
    )
