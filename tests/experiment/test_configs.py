"""Every config file and variant: complete, as its paper has it, and checked."""

import itertools
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import cli, rules
from jaxgan.errors import UserError
from jaxgan.experiment import build, stored
from jaxgan.experiment.schema import FIELDS
from jaxgan.experiment.variants import flatten
from jaxgan.types import LatentInputs

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
MODULES = {path.stem: runpy.run_path(str(path)) for path in FILES}
ALL = [
    (name, variant)
    for name, module in MODULES.items()
    for variant in ("", *module["VARIANTS"])
]
WGANS = [(name, variant) for name, variant in ALL if name != "cyclegan"]
# (shape of an example, classes) of each data set that a config names
DATA = {
    "digits": ((8, 8, 1), 10),
    "tfds:mnist": ((28, 28, 1), 10),
    "tfds:cifar10": ((32, 32, 3), 10),
    "folder": ((64, 64, 3), 0),
    "8gaussians": ((2,), 0),
}
KEY = jax.random.key(0)


def get(name, choice=""):
    return MODULES[name]["get_config"](choice)


def fields(name, choice=""):
    return flatten(get(name, choice))


def test_the_configs_are_found():
    assert {"wgan", "wgan_gp", "cyclegan"} <= MODULES.keys()


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_variant_is_complete_and_passes_its_check(name, variant):
    def common(flat):
        return {f for f in flat if not f.startswith(("generator.", "critic."))}

    config = get(name, variant)
    assert common(flatten(config)) == common(fields(name))
    assert config.gan.name == name
    build(config)
    # What is stored in the workdir is the config.
    again = build(json.loads(build(config).config_json))
    stored.check_same_run(again.fields, build(config).fields)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(("name", "variant"), WGANS)
def test_whole_steps_have_the_right_shapes_at_full_size(name, variant):
    config = get(name, variant)
    shape, classes = DATA[config.data.name]
    if config.data.image_size:
        assert shape == (config.data.image_size,) * 2 + (config.data.channels,)
    gan = build(config).gan(shape, classes)
    state = jax.eval_shape(gan.init, KEY)
    lead = (config.gan.n_critic, config.data.batch_size)
    kind = jnp.uint8 if len(shape) == 3 else jnp.float32
    batch = {
        "image": jax.ShapeDtypeStruct((*lead, *shape), kind),
        "label": jax.ShapeDtypeStruct(lead, jnp.int32),
    }

    after, metrics = jax.eval_shape(gan.train_step, state, batch, KEY)
    assert after == state  # structure, shapes and types
    for metric, values in metrics.items():
        of_generator = metric.startswith("generator/") or metric.endswith("/generator")
        assert values.shape == (() if of_generator else lead[:1]), metric
        assert values.dtype == jnp.float32, metric
    asked = LatentInputs(jax.ShapeDtypeStruct((7,), jnp.int32))
    drawn = jax.eval_shape(gan.sample, state, asked, KEY)["samples"]
    assert (drawn.shape, drawn.dtype) == ((7, *shape), jnp.float32)
    heldout = {n: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for n, x in batch.items()}
    estimate = jax.eval_shape(gan.evaluate, state, heldout, KEY)
    assert estimate["heldout/wasserstein"].shape == ()


# Numbers of parameters: docs/papers.md, "WGAN", "WGAN-GP" and "Tutorials" have them.
# Clipped recipes of igul222's code have BatchNorm in both networks, which adds a scale
# and a bias for each channel.
PARAMETERS = {
    ("wgan", "tutorial"): (579_728, 533_505),
    ("wgan", "mnist"): (
        1_554_177 + 2 * (4096 + 128 + 64),
        1_030_145 + 2 * (128 + 256),
    ),
    ("wgan", "cifar10"): (5_179_907, 4_114_689 + 2 * (256 + 512)),
    ("wgan", "cifar10_resnet"): (1_204_483, 1_053_825),
    ("wgan", "image64"): (3_576_704, 2_765_568),
    ("wgan", "image64_mlp"): (6_880_768, 2_765_568),
    ("wgan", "toy"): (527_874, 527_361),
    ("wgan_gp", "tutorial"): (247_440, 233_985),
    ("wgan_gp", "tutorial10"): (579_728, 533_505),
    ("wgan_gp", "mnist"): (1_554_177, 1_030_145),
    ("wgan_gp", "cifar10"): (5_179_907, 4_114_689),
    ("wgan_gp", "cifar10_resnet"): (1_204_483, 1_053_825),
    ("wgan_gp", "cifar10_resnet_conditional"): (1_218_307, 1_055_115),
    ("wgan_gp", "image64"): (8_540_483, 7_491_841),
    ("wgan_gp", "toy"): (527_874, 527_361),
}


def test_every_variant_has_its_golden_numbers_of_parameters():
    assert {(name, variant) for name, variant in WGANS if variant} == PARAMETERS.keys()
    for (name, variant), expected in PARAMETERS.items():
        config = get(name, variant)
        gan = build(config).gan(*DATA[config.data.name])
        state = jax.eval_shape(gan.init, KEY)
        found = tuple(
            sum(leaf.size for leaf in jax.tree.leaves(network.params))
            for network in (state.generator, state.critic)
        )
        assert found == expected, (name, variant)


# docs/papers.md, "WGAN-GP"; an optimizer is (learning rate, b1, b2, decay_steps).
ADAM = (1e-4, 0.5, 0.9, 0)
WGAN_GP = {
    "tutorial": {"z": 100, "batch": 64, "weight": 10, "adam": (1e-4, 0.5, 0.999, 0)},
    "tutorial10": {"z": 100, "batch": 64, "weight": 10, "adam": ADAM},
    "mnist": {
        "z": 128,
        "batch": 50,
        "weight": 10,
        "adam": ADAM,
        "steps": 200_000,
        "range": "unit",
    },
    "cifar10": {"z": 128, "batch": 64, "weight": 10, "adam": ADAM, "steps": 200_000},
    "cifar10_resnet": {
        "z": 128,
        "batch": 64,
        "weight": 10,
        "adam": (2e-4, 0.0, 0.9, 100_000),
        "steps": 100_000,
        "range": "dequantized",
        "multiple": 2,
    },
    "image64": {
        "z": 128,
        "batch": 64,
        "weight": 10,
        "adam": (1e-4, 0.0, 0.9, 0),
        "steps": 200_000,
    },
    "toy": {"z": 2, "batch": 256, "weight": 0.1, "adam": ADAM, "steps": 100_000},
}
WGAN_GP["cifar10_resnet_conditional"] = WGAN_GP["cifar10_resnet"] | {"classes": True}


@pytest.mark.parametrize("variant", WGAN_GP)
def test_wgan_gp_has_the_values_of_the_papers_table(variant):
    row, found = WGAN_GP[variant], fields("wgan_gp", variant)
    expected = {
        "gan.latent": "normal",
        "gan.latent_size": row["z"],
        "gan.n_critic": 5,
        "gan.penalty": "gradient_penalty",
        "gan.penalty_weight": row["weight"],
        "gan.penalty_target": 1.0,
        "gan.penalty_one_sided": False,
        "gan.drift_weight": 0.0,
        "gan.conditional": row.get("classes", False),
        "gan.critic_classifier_weight": 1.0,
        "gan.generator_classifier_weight": 0.1,
        "gan.generator_batch_multiple": row.get("multiple", 1),
        "gan.ema_decay": 0.0,
        "gan.sample_batch_norm": "batch",
        "data.batch_size": row["batch"],
        "data.value_range": row.get("range", "symmetric"),
        "train.num_steps": row.get("steps", found["train.num_steps"]),
    }
    for player in ("generator", "critic"):
        names = ("learning_rate", "b1", "b2", "decay_steps")
        expected[f"optimizer.{player}.name"] = "adam"
        for name, value in zip(names, row["adam"], strict=True):
            expected[f"optimizer.{player}.{name}"] = value
    assert {field: found[field] for field in expected} == expected


WGAN = {
    "tutorial": {"z": 100, "batch": 64, "optimizer": "rmsprop"},
    "mnist": {"z": 128, "batch": 50, "range": "unit"},
    "cifar10": {"z": 128, "batch": 64},
    "cifar10_resnet": {"z": 128, "batch": 64, "range": "dequantized"},
    "image64": {
        "z": 100,
        "batch": 64,
        "optimizer": "rmsprop",
        "start": True,
        "order": "before",
    },
    "toy": {"z": 2, "batch": 256},
}
WGAN["image64_mlp"] = WGAN["image64"]


@pytest.mark.parametrize("variant", WGAN)
def test_wgan_has_the_values_of_its_two_codes(variant):
    """docs/papers.md, "WGAN": the authors' code, and the clipping mode of igul222's."""
    row, found = WGAN[variant], fields("wgan", variant)
    expected = {
        "gan.latent": "normal",
        "gan.latent_size": row["z"],
        "gan.n_critic": 5,
        "gan.clip": 0.01,
        "gan.clip_order": row.get("order", "after"),
        "gan.critic_start": row.get("start", False),
        "gan.ema_decay": 0.0,
        "gan.sample_batch_norm": "batch",
        "data.batch_size": row["batch"],
        "data.value_range": row.get("range", "symmetric"),
    }
    for player in ("generator", "critic"):
        expected |= {
            f"optimizer.{player}.name": row.get("optimizer", "rmsprop_tensorflow"),
            f"optimizer.{player}.learning_rate": 5e-5,
            f"optimizer.{player}.decay_steps": 0,
        }
    assert {field: found[field] for field in expected} == expected


def test_every_variant_is_in_the_tables():
    assert MODULES["wgan"]["VARIANTS"].keys() == WGAN.keys()
    assert MODULES["wgan_gp"]["VARIANTS"].keys() == WGAN_GP.keys()


# Keys of a variant


def changes(name, choice, base=""):
    """Return the fields in which `choice` differs from `base`."""
    old, new = fields(name, base), fields(name, choice)
    assert old.keys() == new.keys()
    return {field: new[field] for field in new if new[field] != old[field]}


@pytest.mark.parametrize(
    ("choice", "base", "expected"),
    [
        ("toy,name=swissroll", "toy", {"data.name": "swissroll"}),
        (
            "name=idx,dir=/some/where",
            "",
            {"data.name": "idx", "data.dir": "/some/where"},
        ),
        ("size=32", "", {"data.image_size": 32}),
        (
            "toy,gan.n_critic=3,gan.penalty_weight=2,optimizer.critic.b1=0.25",
            "toy",
            {"gan.n_critic": 3, "gan.penalty_weight": 2.0, "optimizer.critic.b1": 0.25},
        ),
        (
            "gan.conditional=true,critic.activation=relu",
            "",
            {"gan.conditional": True, "critic.activation": "relu"},
        ),
        ("dir=a=b", "", {"data.dir": "a=b"}),
    ],
)
def test_keys_change_their_fields_alone(choice, base, expected):
    found = changes("wgan_gp", choice, base)
    assert found == expected
    for field, value in expected.items():
        assert type(found[field]) is type(value)


def test_a_changed_config_leaves_the_next_one_alone():
    before = fields("wgan")
    config = get("wgan", "mnist,gan.clip=3")
    config.gan.clip = 7.0
    with config.unlocked():
        config.optimizer.critic.learning_rate = 9.0
    assert fields("wgan") == before
    assert fields("wgan", "mnist")["optimizer.critic.learning_rate"] == 5e-5


@pytest.mark.parametrize(
    ("choice", "parts"),
    [
        ("tutrial", ("config variant = tutrial: unknown", "nearest: tutorial")),
        (
            "toy,gan.n_citic=5",
            ("config field = gan.n_citic: unknown", "nearest: gan.n_critic"),
        ),
        ("toy,data=x", ("config field = data: unknown",)),
        ("toy,swissroll", ("'swissroll' is not key=value",)),
        ("gan.n_critic=two", ("gan.n_critic = two: must be a whole number from 1",)),
        ("gan.n_critic=2.5", ("gan.n_critic = 2.5: must be a whole number from 1",)),
        (
            "gan.penalty_weight=x",
            ("gan.penalty_weight = x: must be a number from 0",),
        ),
        ("gan.conditional=maybe", ("gan.conditional = maybe: must be True or False",)),
        ("gan.conditional=1", ("gan.conditional = 1: must be True or False",)),
        ("gan.conditional=null", ("gan.conditional = null: must be True or False",)),
        ("generator.hidden=x", ("generator.hidden = x: must be a tuple of",)),
        ("generator.hidden=(8,8)", ("generator.hidden = (8: must be a tuple of",)),
    ],
)
def test_a_wrong_choice_is_told_in_one_line(choice, parts):
    with pytest.raises(UserError) as error:
        get("wgan_gp", choice)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_variants_are_told_with_the_valid_ones():
    with pytest.raises(UserError) as error:
        get("wgan", "cifar")
    for variant in MODULES["wgan"]["VARIANTS"]:
        assert variant in str(error.value)


def test_the_command_line_overrides_and_names_the_run():
    path = str(next(path for path in FILES if path.stem == "wgan_gp"))
    arguments = [
        f"--config={path}:toy,name=swissroll",
        "--config.gan.n_critic=2",
        "--x",
    ]
    config, name, left = cli.parse_config(arguments)
    assert (config.gan.n_critic, config.data.name) == (2, "swissroll")
    assert name == "wgan_gp-toy,name=swissroll"
    assert left == ["--x"]
    with pytest.raises(UserError, match=r"nearest: gan\.n_critic"):
        cli.parse_config([f"--config={path}", "--config.gan.n_critc=2"])


# Checks of values


def with_fields(name, values):
    config = get(name)
    with config.unlocked():
        config.update_from_flattened_dict(values)
    return config


WRONG = {
    "gan.latent": ("norml", "unknown; valid: normal, uniform; nearest: normal"),
    "gan.latent_size": (0, "must be a whole number from 1 to"),
    "gan.n_critic": (-1, "must be a whole number from 1 to"),
    "gan.penalty": ("gradient", "nearest: gradient_penalty"),
    "gan.penalty_weight": (float("nan"), "must be a number from 0 to 1,000,000"),
    "gan.penalty_target": (0.0, "must be a number from 1e-06 to"),
    "gan.ema_decay": (1.0, "must be a number from 0 to 0.9999999"),
    "optimizer.critic.learning_rate": (-1e-4, "must be a number from 1e-30 to 10,000"),
    "optimizer.generator.name": ("adamw", "nearest: adam"),
    "data.channels": (2, "must be 1, 3, or 0"),
    "data.value_range": ("uni", "nearest: unit"),
    "train.precision": ("float23", "nearest: float32"),
    "train.seed": (2**31, "must be a whole number from 0 to 2,147,483,647"),
}


def test_check_tells_all_problems_at_once():
    config = with_fields("wgan_gp", {field: v for field, (v, _) in WRONG.items()})
    with pytest.raises(UserError) as error:
        build(config)
    message = str(error.value)
    for field, (value, reason) in WRONG.items():
        assert f"{field} = {value}: " in message
        assert reason in message
    assert message.count(" = ") == len(WRONG)
    assert "\n" not in message


@pytest.mark.parametrize("field", WRONG)
def test_check_tells_each_problem_alone(field):
    value, reason = WRONG[field]
    with pytest.raises(UserError) as error:
        build(with_fields("wgan_gp", {field: value}))
    assert str(error.value).startswith(f"{field} = {value}: ")
    assert reason in str(error.value)


def test_a_file_is_for_its_own_gan():
    """The fields of the one are not those of the other."""
    for name, other in itertools.permutations(MODULES, 2):
        with pytest.raises(UserError, match=r"gan\.name = "):
            build(with_fields(name, {"gan.name": other}))


def test_any_interval_goes_with_any_number_of_steps_per_call():
    def length(**fields):
        return build(
            with_fields("wgan_gp", {f"train.{n}": v for n, v in fields.items()})
        ).steps_per_call

    assert length() == 10
    assert length(log_steps=1) == 1
    assert length(log_steps=7) == 7
    assert length(log_steps=25) == 5
    assert length(log_steps=101, sample_steps=0) == 10
    assert length(steps_per_call=1, log_steps=7) == 1
    assert length(num_steps=3) == 3


# Resuming

FREE = {
    "train.num_steps",
    "train.num_epochs",
    "train.log_steps",
    "train.sample_steps",
    "train.checkpoint_steps",
    "train.keep_checkpoints",
    "train.steps_per_call",
    "data.dir",
    "data.cache",
    "parallel.devices",
    "parallel.wait_seconds",
    "eval.heldout_examples",
}


@pytest.mark.parametrize("name", MODULES)
def test_a_resume_may_change_what_changes_neither_model_nor_data_nor_updates(name):
    flat = fields(name)
    free = FREE | {"data.dir_b"} & flat.keys()
    assert flat.keys() >= free
    for field, value in flat.items():
        before = flatten(get(name))
        other = {str: "other", bool: True, int: 7, float: 0.123, list: (3,)}
        changed = not value if isinstance(value, bool) else other[type(value)]
        given = flatten(with_fields(name, {field: changed}))
        if field in free:
            stored.check_same_run(before, given)
            continue
        with pytest.raises(UserError) as error:
            stored.check_same_run(before, given)
        assert f"{field}: stored {value}, given" in str(error.value)
        assert "--workdir" in str(error.value)


def test_all_differing_fields_are_in_the_table_also_those_of_one_side():
    with pytest.raises(UserError) as error:
        stored.check_same_run(fields("wgan"), fields("wgan_gp", "mnist"))
    message = str(error.value)
    assert "gan.clip: stored 0.1, given -" in message
    assert "gan.penalty: stored -, given gradient_penalty" in message
    assert "data.batch_size: stored 64, given 50" in message
    assert "train.num_steps" not in message


def test_a_stored_config_is_read_back(tmp_path):
    config = get("wgan_gp", "tutorial")
    (tmp_path / "config.json").write_text(build(config).config_json)
    assert stored.load(tmp_path).fields == flatten(config)
    gan = stored.load(tmp_path).gan((28, 28, 1))
    assert jax.eval_shape(gan.init, KEY).step.dtype == np.int32
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: not a run's config"):
        stored.load(tmp_path)
    with pytest.raises(UserError, match="not found"):
        stored.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", MODULES)
def test_a_length_is_given_in_steps_or_in_epochs(name):
    both = {"train.num_steps": 5, "train.num_epochs": 2}
    with pytest.raises(UserError, match=r"^train\.num_epochs = 2: train\.num_st"):
        build(with_fields(name, both))
    with pytest.raises(UserError, match=r"^train\.num_steps = 0: must be 1 or more"):
        build(with_fields(name, dict.fromkeys(both, 0)))
    build(with_fields(name, both | {"train.num_steps": 0}))


def test_missing_fields_are_named_all_at_once():
    config = get("wgan_gp")
    del config.train["log_steps"]
    del config.data["dir"]
    with pytest.raises(UserError, match=r"^data\.dir: missing; train\.log_steps: mis"):
        build(config)


def test_a_config_stored_before_a_field_existed_says_what_its_run_did(tmp_path):
    before = get("wgan").to_dict()
    del before["train"]["accumulate_steps"], before["parallel"]["wait_seconds"]
    del before["train"]["num_epochs"]
    (tmp_path / "config.json").write_text(json.dumps(before))
    assert stored.load(tmp_path).values == build(get("wgan")).values


def test_options_of_a_penalty_that_is_not_chosen_may_be_missing():
    config = get("wgan_gp")
    with config.unlocked():
        del config.gan["penalty_noise_variance"]
    assert build(config).values["gan.penalty_noise_variance"] == 10.0


def with_value(name, field, value):
    """Return a recipe's config as a dictionary, which takes any value anywhere."""
    config = level = get(name).to_dict()
    *sections, last = field.split(".")
    for section in sections:
        level = level.setdefault(section, {})
    level[last] = value
    return config


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("train.foo", "train.foo = 5: unknown; valid: accumulate_steps, "),
        ("train.seeds", "train.seeds = 5: unknown; valid: accumulate_steps, "),
        (
            "optimizer.critic.lr",
            "valid: b1, b2, decay_steps, learning_rate, name; near",
        ),
        ("optimizer.critics.b1", "valid: critic, data, eval, gan, generator, optim"),
        ("foo", "foo = 5: unknown; valid: critic, data, eval, gan, generator, optim"),
        ("a.b.c", "a.b.c = 5: unknown; valid: critic, data, eval"),
        ("gan.pool_size", "gan.pool_size = 5: unknown; valid: "),
        ("gan.penalty_target", "gan.penalty_target = 5: unknown; valid: "),
    ],
)
def test_unknown_fields_are_refused_with_the_nearest_name(field, message):
    config = with_value("wgan", field, 5)
    with pytest.raises(UserError) as error:
        build(config)
    assert message in str(error.value)
    nearest = {"train.seeds": "seed", "optimizer.critic.lr": "learning_rate"}
    assert str(error.value).endswith(f"nearest: {nearest.get(field, '')}") == (
        field in nearest
    )


# Kinds of values: what is taken in which form, and what is refused.
TAKEN = [
    ("optimizer.critic.learning_rate", np.float64(1e-4), 1e-4),
    ("optimizer.critic.learning_rate", np.array(1e-4), 1e-4),
    ("optimizer.critic.learning_rate", 1, 1.0),
    ("optimizer.critic.b2", 0.9999999, 0.9999999),
    ("gan.latent_size", np.int64(32), 32),
    ("gan.conditional", np.bool_(True), True),
    ("data.dir", Path("a/b"), "a/b"),
    ("generator.hidden", (np.int32(8), 4), [8, 4]),
    ("generator.hidden", [], []),
    ("data.name", np.str_("digits"), "digits"),
]


@pytest.mark.parametrize(("field", "value", "expected"), TAKEN)
def test_values_are_taken_in_their_one_form(field, value, expected):
    config = with_value("wgan_gp", field, value)
    found = build(config)
    for values in (found.values, found.fields, flatten(json.loads(found.config_json))):
        assert values[field] == expected
        assert type(values[field]) is type(expected)


REFUSED = [
    ("optimizer.critic.learning_rate", "1e-4", "from 1e-30 to 10,000, not a str"),
    ("optimizer.critic.learning_rate", float("inf"), "a number from 1e-30 to 10,000"),
    ("optimizer.critic.learning_rate", True, "not a bool"),
    ("optimizer.critic.learning_rate", 10**400, "a number from 1e-30 to 10,000"),
    ("optimizer.critic.b2", 0.9999999999, "a number from 0 to 0.9999999"),
    ("optimizer.critic.b2", np.longdouble(0.5), "not a longdouble"),
    ("optimizer.critic.decay_steps", 10**12, "from 0 to 2,000,000,000"),
    ("gan.penalty_weight", 1e38, "a number from 0 to 1,000,000"),
    ("gan.penalty_target", 1e-300, "a number from 1e-06 to 1,000,000"),
    ("gan.drift_weight", float("inf"), "a number from 0 to 1,000,000"),
    ("gan.latent_size", 32.0, "from 1 to 1,000,000, not a float"),
    ("gan.latent_size", None, "not None"),
    ("gan.latent", ["normal"], "must be one of normal, uniform, not a list"),
    ("data.channels", True, "1, 3, or 0 for as many as the data has, not a bool"),
    ("data.dir", "a\0b", "data.dir = a\\x00b: must be a path"),
    ("data.dir", 5, "must be a path, not an int"),
    ("generator.hidden", (8, 0), "a tuple of at most 100 widths"),
    ("generator.hidden", [8] * 101, "a tuple of at most 100 widths"),
    ("generator.hidden", 8, "not an int"),
    ("gan.name", None, "gan.name = None: must be text, not None"),
    ("train", 5, "train = 5: unknown"),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_values_of_other_kinds_are_refused(field, value, message):
    config = with_value("wgan_gp", field, value)
    with pytest.raises(UserError) as error:
        build(config)
    assert message in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("config", [[], 5, None, "wgan"])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(UserError, match="not a config; must have sections"):
        build(config)


def test_a_config_that_contains_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(UserError, match=r"^the config contains itself$"):
        build(with_value("wgan", "data.dir", endless))


def test_a_placeholder_is_filled_in_by_a_flag(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from configs.wgan import get_config as base\n"
        "from ml_collections import config_dict\n"
        "def get_config(variant=''):\n"
        "    config = base(variant)\n"
        "    config.train.seed = config_dict.required_placeholder(int)\n"
        "    return config\n"
    )
    with pytest.raises(UserError, match=r"^train\.seed = None: must be a whole number"):
        build(cli.parse_config([f"--config={path}"])[0])
    config, *_ = cli.parse_config([f"--config={path}", "--config.train.seed=3"])
    assert build(config).seed == 3
    assert '"seed": 3' in build(config).config_json


def test_a_decay_is_below_1_in_float32():
    most = rules.DECAY.words.rpartition(" ")[2]
    assert rules.DECAY.problem(float(most)) is None
    assert np.float32(1) - np.float32(most) > 0


def test_every_number_has_a_range_and_every_field_a_type():
    for field in FIELDS:
        assert field.rule.kind is not object, field.name
        if field.rule.kind in (int, float):
            for value in (float("inf"), float("-inf"), float("nan"), 10**20, -(10**20)):
                assert field.rule.problem(value), field.name


def test_a_field_that_an_optimizer_has_not_is_refused():
    config = with_fields("wgan", {"optimizer.critic.decay_epochs": 5})
    with pytest.raises(UserError, match=r"^optimizer\.critic\.decay_epochs = 5: "):
        build(config)


@pytest.mark.parametrize("value", ["False", 1, None])
def test_a_flag_is_true_or_false(value):
    config = get("wgan_gp").to_dict()
    config["gan"]["conditional"] = value
    with pytest.raises(UserError, match=r"^gan\.conditional = .*: must be True or"):
        build(config)


def test_a_stored_config_that_is_wrong_is_named(tmp_path):
    config = get("wgan").to_dict()
    del config["train"]["seed"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json: train\.seed: missing"):
        stored.load(tmp_path)


WRONG_JSON = ["[]", "5", "null", '"x"', '{"train": 5}', '{"data": []}', "[" * 100_000]


@pytest.mark.parametrize("text", [*WRONG_JSON, '{"optimizer": {"critic": 5}}', "{}"])
def test_a_stored_config_of_another_shape_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json: "):
        stored.load(tmp_path)


def test_a_stored_config_that_is_not_text_is_named(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff{}")
    with pytest.raises(UserError, match=r"config\.json: not a run's config"):
        stored.load(tmp_path)
