"""Merged passes give the steps of the plain algorithms, in float64.

The plain forms are written out here: one pass of a network for each batch.
"""

import importlib

import jax
import numpy as np
import pytest
from helpers.cyclegans import leaves
from helpers.devices import (
    KEY,
    batches,
    first_state,
    gan_of,
    small,
    use_tiny_networks,
)
from helpers.jaxprs import count_calls

from jaxgan import keys, losses
from jaxgan.gans import critic_passes
from jaxgan.gans.domains import decode_images
from jaxgan.gradients import Outcome

pytestmark = pytest.mark.usefixtures("float64_compiled_quickly")
# The names in the package are the functions'.
GANS = {
    name: importlib.import_module(f"jaxgan.gans.{name}")
    for name in ("wgan", "wgan_gp", "cyclegan")
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch, plain_convolutions):
    """Have the tiny networks of devices.py."""
    use_tiny_networks(monkeypatch)


# The plain forms


def score_apart(score, batch_stats, real, fake):
    *of_real, batch_stats = score(batch_stats, real)
    *of_fake, batch_stats = score(batch_stats, fake)
    return of_real, of_fake, batch_stats


def make_no_fakes(players):
    """Leave it to each critic step to make its own."""
    return lambda state, batch, key: (state, batch, {})


def plain_generator_loss(domains, adversarial, weights):
    """Six passes, in the order of the official code."""

    def loss(params, state, batch, key):
        a, b = decode_images(batch["a"]), decode_images(batch["b"])
        stats, passes = state.generator.batch_stats, 0
        dropout = jax.random.fold_in(key, keys.DROPOUT)

        def translate(name, inputs):
            nonlocal stats, passes
            variables, drops = {"params": params, "batch_stats": stats}, None
            if domains.dropout:
                pass_key = jax.random.fold_in(dropout, passes)
                drops = keys.example_keys(pass_key, batch["index"])
            outputs, stats = domains.translate(variables, name, inputs, True, drops)
            passes += 1
            return outputs

        fake_b = translate("a2b", a)
        cycled_a = translate("b2a", fake_b)
        fake_a = translate("b2a", b)
        cycled_b = translate("a2b", fake_a)
        error = losses.mean_absolute_error
        metrics, critic = {}, state.critic
        scores = domains.score(critic.params, critic.batch_stats, "b", fake_b)[0]
        metrics["generator/adversarial_a2b"] = adversarial(scores)
        scores = domains.score(critic.params, critic.batch_stats, "a", fake_a)[0]
        metrics["generator/adversarial_b2a"] = adversarial(scores)
        metrics["generator/cycle_a"] = error(cycled_a, a)
        metrics["generator/cycle_b"] = error(cycled_b, b)
        value = metrics["generator/adversarial_a2b"]
        value += metrics["generator/adversarial_b2a"]
        value += weights["a"] * metrics["generator/cycle_a"]
        value += weights["b"] * metrics["generator/cycle_b"]
        if weights["identity"]:
            metrics["generator/identity_b"] = error(translate("a2b", b), b)
            metrics["generator/identity_a"] = error(translate("b2a", a), a)
            for name in "ab":
                weight = weights["identity"] * weights[name]
                value += weight * metrics[f"generator/identity_{name}"]
        metrics["generator/loss"] = value
        return value, Outcome(stats, metrics, {"fake_a": fake_a, "fake_b": fake_b})

    return loss


def use_plain_passes(monkeypatch):
    for gan in GANS.values():
        monkeypatch.setattr(gan, "score_both", score_apart)
    for name in ("wgan", "wgan_gp"):
        monkeypatch.setattr(GANS[name], "make_fakes", make_no_fakes)
    monkeypatch.setattr(GANS["cyclegan"], "generator_loss", plain_generator_loss)


# The comparison


def take_steps(config, count=2):
    """Return the state and metrics after `count` steps, and the program."""
    gan, batch, state = gan_of(config), batches(config, count), first_state(config)

    def steps(state, batch):
        return jax.lax.scan(lambda s, b: gan.train_step(s, b, KEY), state, batch)

    program = jax.make_jaxpr(steps)(state, batch)
    return jax.jit(steps)(state, batch), program.jaxpr


def count_products(program):
    """Return how many matrix products and convolutions a program computes."""
    return count_calls(program, "dot_general", "conv_general_dilated")


def check_equal(one, other):
    """Compare two trees to 1e-12, relative to the largest value of each leaf."""
    one, other = leaves(one), leaves(other)
    assert one.keys() == other.keys()
    for name in one:
        bound = 1e-12 * max(1.0, np.max(np.abs(one[name]), initial=0))
        np.testing.assert_allclose(other[name], one[name], 0, bound, err_msg=name)


PENALISED = {"gan__identity_weight": 0.0, "gan__adversarial": "wgan_gp"}
INSTANCE = {"generator__norm": "instance", "critic__norm": "instance"}
NO_NORM = {"generator__norm": "none", "critic__norm": "none"}
LABELS = {"networks": "tiny_generator_norm", "gan__conditional": True}
PARTS = {"train__accumulate_steps": 2}
# gan, fields, whether passes are merged. Each compiles two programs: most are slow.
QUICK = [
    ("wgan", {"networks": "tiny_norm"}, True),
    ("wgan_gp", LABELS, True),
    ("cyclegan", INSTANCE, True),  # with dropout
]
SLOW = [
    ("wgan", {"networks": "tiny"}, True),
    ("wgan", {"networks": "tiny_norm"} | PARTS, False),
    ("wgan_gp", {"networks": "tiny"} | PARTS, True),
    ("cyclegan", NO_NORM | PARTS, True),
    ("cyclegan", INSTANCE | PENALISED, True),
    ("cyclegan", {}, False),  # BatchNorm
]


@pytest.mark.parametrize(
    ("gan", "fields", "is_merged"),
    [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_steps_are_those_of_the_plain_algorithm(gan, fields, is_merged, monkeypatch):
    config = small(gan, **fields)
    merged, program = take_steps(config)
    use_plain_passes(monkeypatch)
    plain, plain_program = take_steps(config)
    check_equal(plain, merged)
    fewer = count_products(program) < count_products(plain_program)
    assert fewer == is_merged


def test_more_critic_steps_than_fit_at_once_make_their_own_fakes(monkeypatch):
    config = small("wgan", networks="tiny_norm")  # two critic steps
    gan, batch = gan_of(config), batches(config, 1)
    batch = {name: x[0] for name, x in batch.items()}
    products = []
    for most in (1, 2):
        monkeypatch.setattr(critic_passes, "MOST_AT_ONCE", most)
        # A new function: JAX traces one only once.
        step = jax.make_jaxpr(lambda *x: gan.train_step(*x))
        products.append(count_products(step(first_state(config), batch, KEY).jaxpr))
    apart, together = products
    assert apart == together + 2  # the generator's two products, once more


# Recomputation


@pytest.mark.slow
@pytest.mark.parametrize(("gan", "fields", "is_merged"), QUICK)
def test_steps_with_remat_are_those_without(gan, fields, is_merged):
    kept, program = take_steps(small(gan, **fields))
    computed, longer = take_steps(small(gan, **fields, train__remat=True))
    check_equal(kept, computed)
    assert count_products(longer) > count_products(program)
