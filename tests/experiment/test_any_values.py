"""Property-based: any value of any field is taken, or refused in one line."""

import copy
import decimal
import json
import math
import pathlib

import jax
import numpy as np
import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxgan import cli
from jaxgan.errors import UserError
from jaxgan.experiment import build, preflight
from jaxgan.experiment.experiment import FAMILIES
from jaxgan.experiment.schema import FIELDS
from jaxgan.experiment.variants import flatten

# Threads that other tests have left may draw random numbers meanwhile, which hypothesis
# takes for draws of its strategies.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:FutureWarning"
)

RECIPES = ("wgan", "wgan_gp", "cyclegan")
PATHS = {name: str(ROOT / "configs" / f"{name}.py") for name in RECIPES}
BASES = {name: cli.load_config(path, "").to_dict() for name, path in PATHS.items()}
NAMES = {name: sorted(flatten(base)) for name, base in BASES.items()}
CHOICES = sorted({n for f in FIELDS for n in getattr(f.rule, "names", ())})

NUMBERS = st.one_of(
    st.integers(),
    st.integers(-2, 100),
    st.floats(),
    st.floats(0, 1),
    st.sampled_from([10**30, -(10**400), 2**31, math.inf, math.nan, 1e-300, 1e38]),
)
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(CHOICES), NUMBERS.map(str))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXTS,
    st.binary(max_size=3),
    st.floats(width=32).map(np.float32),
    st.integers(0, 255).map(np.uint8),
    st.floats().map(np.array),
    st.floats().map(np.longdouble),
    st.builds(np.zeros, st.integers(0, 3)),
    st.builds(np.bool_, st.booleans()),
    st.sampled_from(
        [pathlib.Path("a/b"), decimal.Decimal("0.1"), 1 + 2j, object(), dict, print]
    ),
    st.lists(st.one_of(st.integers(-1, 300), st.floats(), st.none()), max_size=4),
    st.lists(st.integers(1, 300), max_size=4).map(tuple),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def quickly(examples):
    """Return hypothesis's settings: always the same examples, and no files."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def changed(recipe, changes):
    """Return a recipe's config, as a dictionary, with {field: value} changed."""
    config = copy.deepcopy(BASES[recipe])
    for name, value in changes.items():
        *sections, last = name.split(".")
        level = config
        for section in sections:
            level = level.setdefault(section, {})
            if not isinstance(level, dict):
                return config
        level[last] = value
    return config


@st.composite
def configs(draw):
    recipe = draw(st.sampled_from(RECIPES))
    names = st.sampled_from(
        [*NAMES[recipe], "gan", "train", "nothing", "train.foo", "optimizer.critic.lr"]
    )
    return changed(recipe, draw(st.dictionaries(names, VALUES, max_size=3)))


def result_of(function, *arguments):
    """Return what a function returns, or the UserError that it raises."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


def check_built(config):
    experiment = result_of(build, config)
    if isinstance(experiment, UserError):
        assert str(experiment).isprintable()
        return
    # What is stored is the experiment.
    stored = json.loads(experiment.config_json)
    assert build(stored).values == experiment.values
    for name, value in experiment.values.items():
        elements = value if isinstance(value, list) else [value]
        assert {type(x) for x in elements} <= {int, float, bool, str}, name
        assert all(abs(x) < 1e12 for x in elements if type(x) is not str), name


@quickly(150)
@given(configs())
def test_any_config_is_built_or_refused(config):
    check_built(config)


@pytest.mark.slow
@quickly(5000)
@given(configs())
def test_many_configs_are_built_or_refused(config):
    check_built(config)


ARGUMENTS = st.one_of(
    st.builds("--config.{}={}".format, st.sampled_from(NAMES["cyclegan"]), TEXTS),
    st.builds("--config.{}".format, st.sampled_from(NAMES["cyclegan"])),
    st.builds("--noconfig.{}={}".format, st.sampled_from(NAMES["cyclegan"]), TEXTS),
    st.builds("--config.{}".format, TEXTS),
    st.sampled_from(["((((", "(1,", "{[]: 1}", "'\\d'", "9" * 5000, "1e999"]).map(
        "--config.generator.hidden={}".format
    ),
)
VARIANTS = st.one_of(
    TEXTS,
    st.lists(st.builds("{}={}".format, st.sampled_from(NAMES["wgan"]), TEXTS)).map(
        ",".join
    ),
)


def check_parsed(recipe, variant, arguments):
    given = f"--config={PATHS[recipe]}:{variant}"
    parsed = result_of(cli.parse_config, [given, *arguments])
    if not isinstance(parsed, UserError):
        check_built(parsed[0])


@quickly(80)
@given(st.sampled_from(RECIPES), VARIANTS, st.lists(ARGUMENTS, max_size=3))
def test_any_text_of_a_variant_or_flag_is_parsed_or_refused(recipe, variant, arguments):
    check_parsed(recipe, variant, arguments)


@pytest.mark.slow
@quickly(1500)
@given(st.sampled_from(RECIPES), VARIANTS, st.lists(ARGUMENTS, max_size=3))
def test_many_texts_are_parsed_or_refused(recipe, variant, arguments):
    check_parsed(recipe, variant, arguments)


@st.composite
def sizes(draw):
    """Return a recipe, and changes that make its networks small and of any sizes."""
    recipe = draw(st.sampled_from(RECIPES))
    changes = {
        "data.image_size": draw(st.integers(0, 70)),
        "data.batch_size": draw(st.integers(1, 3)),
    }
    if recipe == "cyclegan":
        names = ["resnet_1blocks", "unet", "unet_32"]
        return recipe, changes | {
            "data.resize": 0,
            "generator.name": draw(st.sampled_from(names)),
            "generator.width": 2,
            "critic.name": draw(st.sampled_from(["patch", "pixel", "tutorial"])),
            "critic.width": 2,
            "critic.num_layers": draw(st.integers(1, 7)),
        }
    return recipe, changes | {
        "gan.latent_size": draw(st.integers(1, 5)),
        "generator.hidden": draw(st.lists(st.integers(1, 5), max_size=3)),
    }


def check_sizes(recipe, changes):
    """Check that the preflight passes only what a whole step passes."""
    experiment = build(changed(recipe, changes))
    refused = result_of(preflight.check_run, experiment, jax.devices()[:1])
    if refused or not changes["data.image_size"]:
        starts = "data.image_size = ", "generator.name = "
        assert refused is None or str(refused).startswith(starts)
        return
    shape = FAMILIES[experiment.family].known_shape(experiment.values)
    gan = experiment.gan(shape)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    lead = (5 if recipe != "cyclegan" else 1, experiment.batch_size)
    images = jax.ShapeDtypeStruct((*lead, *shape), np.uint8)
    batch = {"a": images, "b": images}
    if recipe != "cyclegan":
        batch = {"image": images, "label": jax.ShapeDtypeStruct(lead, np.int32)}
    after, _ = jax.eval_shape(gan.train_step, state, batch, jax.random.key(0))
    assert after == state


@quickly(6)
@given(sizes())
def test_sizes_that_pass_the_preflight_make_a_step(drawn):
    check_sizes(*drawn)


@pytest.mark.slow
@quickly(60)
@given(sizes())
def test_many_sizes_that_pass_the_preflight_make_a_step(drawn):
    check_sizes(*drawn)
