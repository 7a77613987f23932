"""CycleGAN as an algorithm: what each turn sees, computes and changes.

Most tests train two affine generators and two critics of one weight, whose losses are
written here once more in numpy and differentiated by differences. Everything is in
float64. test_cyclegan_parity.py compares real networks with PyTorch.
"""

import dataclasses
import functools
import importlib
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cyclegans import (
    KEY,
    SHAPE,
    batches,
    both_optimizers,
    drawn_state,
    largest_difference,
    leaves,
    small,
)
from helpers.jaxprs import operand_types

from jaxgan import data, optim, penalties, pool, turns
from jaxgan.errors import UserError
from jaxgan.experiment import build, experiment, translation_family
from jaxgan.gans.cyclegan import cyclegan
from jaxgan.gans.domains import Domains
from jaxgan.models.translation import image_layers
from jaxgan.runtime import devices
from jaxgan.types import DomainImages

# The name in the package is the function's.
module = importlib.import_module("jaxgan.gans.cyclegan")

TINY = (4, 3, 2)
RATE = 0.05
SGD = optim.optimizer(name="sgd", learning_rate=RATE, b1=0, b2=0, decay_steps=0)


pytestmark = pytest.mark.usefixtures("float64_compiled_quickly")


# Networks with a closed form


class Affine(nn.Module):
    """scale * image + shift; with keys, a dropout of 1/2 behind it."""

    @nn.compact
    def __call__(self, images, keys=None, *, train):
        scale = self.param("scale", nn.initializers.ones, (), jnp.float64)
        shift = self.param("shift", nn.initializers.zeros, (), jnp.float64)
        return image_layers.dropout(scale * images + shift, keys, 0)


class Rows(nn.Module):
    """The patches are an image's rows: weight * (sum of the row's elements) + shift."""

    dtype: object = None

    @nn.compact
    def __call__(self, images, *, train):
        weight = self.param("weight", nn.initializers.ones, (), jnp.float64)
        shift = self.param("shift", nn.initializers.zeros, (), jnp.float64)
        return weight * images.sum(axis=(2, 3), keepdims=True)[..., 0] + shift


class CurvedRows(Rows):
    """Rows of the squares of elements, whose gradient tells where it is taken."""

    @nn.compact
    def __call__(self, images, *, train):
        return super().__call__(images**2, train=train)


FIRST = {
    "a2b": {"scale": 0.8, "shift": 0.1},
    "b2a": {"scale": 1.3, "shift": -0.2},
    "a": {"weight": 0.07, "shift": 0.3},
    "b": {"weight": -0.04, "shift": 0.2},
}
WEIGHTS = {"a": 10.0, "b": 7.0}


def affine_gan(axis_name=None, dropout=False, critic=Rows, **options):
    domains = Domains(Affine(), critic(), TINY, dropout, axis_name)
    options = {
        "generator_optimizer": SGD,
        "critic_optimizer": SGD,
        "cycle_weight_a": WEIGHTS["a"],
        "cycle_weight_b": WEIGHTS["b"],
        "pool_size": POOL,
        "adversarial": "lsgan",
        **options,
    }
    return cyclegan(domains, **options)


def affine_state(gan):
    """Return the first state with the parameters FIRST."""
    state = jax.jit(gan.init)(KEY)
    generator, critic = (
        jax.tree.map(jnp.float64, {name: FIRST[name] for name in names})
        for names in (("a2b", "b2a"), ("a", "b"))
    )
    state = state.replace(
        generator=state.generator.replace(params=generator),
        critic=state.critic.replace(params=critic),
    )
    if "average" in state.memory:
        average = turns.generator_variables(state)
        state = state.replace(memory=state.memory | {"average": average})
    return state


def translated(params, images):
    return params["scale"] * images + params["shift"]


def scored(params, images):
    return params["weight"] * images.sum(axis=(2, 3)) + params["shift"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# (real scores, fake scores) -> the critic's loss, fake scores -> the generator's
ADVERSARIAL = {
    "lsgan": (
        lambda real, fake: (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2,
        lambda fake: np.mean((fake - 1) ** 2),
    ),
    "vanilla": (
        lambda real, fake: (
            -(np.mean(np.log(sigmoid(real))) + np.mean(np.log(1 - sigmoid(fake)))) / 2
        ),
        lambda fake: -np.mean(np.log(sigmoid(fake))),
    ),
    "wasserstein": (
        lambda real, fake: np.mean(fake) - np.mean(real),
        lambda fake: -np.mean(fake),
    ),
}
ADVERSARIAL["wgan_gp"] = ADVERSARIAL["wasserstein"]


class Paper:
    """The algorithm in numpy, with the draws of the gan's image pools.

    Attributes:
        players: {'a2b', 'b2a', 'a', 'b'} to their parameters.
        average: the moving average of the first two.
        kept: both pools' images.
    """

    def __init__(self, adversarial, identity_weight, clip=0.0, penalty_weight=0.0):
        self.adversarial, self.identity_weight = adversarial, identity_weight
        self.clip, self.penalty_weight = clip, penalty_weight
        self.players, self.kept = FIRST, {"a": [], "b": []}
        self.average = {name: FIRST[name] for name in ("a2b", "b2a")}

    def generator_metrics(self, players, a, b):
        fake_b, fake_a = translated(players["a2b"], a), translated(players["b2a"], b)
        loss = ADVERSARIAL[self.adversarial][1]
        terms = {
            "adversarial_a2b": (1, loss(scored(players["b"], fake_b))),
            "adversarial_b2a": (1, loss(scored(players["a"], fake_a))),
            "cycle_a": (WEIGHTS["a"], absolute(translated(players["b2a"], fake_b) - a)),
            "cycle_b": (WEIGHTS["b"], absolute(translated(players["a2b"], fake_a) - b)),
        }
        if self.identity_weight:
            for name, player, real in (("a", "b2a", a), ("b", "a2b", b)):
                term = absolute(translated(players[player], real) - real)
                weight = self.identity_weight * WEIGHTS[name]
                terms[f"identity_{name}"] = (weight, term)
        metrics = {f"generator/{name}": term for name, (_, term) in terms.items()}
        total = sum(weight * term for weight, term in terms.values())
        return {**metrics, "generator/loss": total}

    def critic_metrics(self, players, real, shown):
        loss = ADVERSARIAL[self.adversarial][0]
        terms = [
            loss(scored(players[name], real[name]), scored(players[name], shown[name]))
            for name in "ab"
        ]
        metrics = {
            "critic/a": terms[0],
            "critic/b": terms[1],
            "critic/loss": sum(terms),
        }
        if self.adversarial.startswith("w"):
            metrics["critic/wasserstein"] = -sum(terms) / 2
        if self.penalty_weight:
            # The slope of the mean score is weight / rows at each of the elements.
            slopes = [players[name]["weight"] / TINY[0] for name in "ab"]
            norms = np.abs(slopes) * math.sqrt(math.prod(TINY))
            penalty = np.mean((norms - 1) ** 2)
            metrics["critic/gradient_norm"] = np.mean(norms)
            metrics["critic/gradient_penalty"] = penalty
            metrics["critic/loss"] += self.penalty_weight * 2 * penalty
        return metrics

    def shown(self, fakes, step):
        """Return what the critics are shown of a step's fakes."""
        key, shown = jax.random.fold_in(KEY, step), {}
        for number, name in enumerate("ab"):
            kept, images = self.kept[name], []
            draws = pool.draw_exchanges(
                jax.random.fold_in(key, number), POOL, jnp.arange(BATCH)
            )
            for image, exchanged, slot in zip(fakes[name], *draws, strict=True):
                if len(kept) < POOL:
                    kept.append(image)
                elif exchanged:
                    image, kept[slot] = kept[slot], image
                images.append(image)
            shown[name] = np.array(images)
        return shown

    def step(self, batch, number):
        """Return the metrics of a step."""
        a, b = (batch[name][0] / 127.5 - 1 for name in "ab")
        old = self.players
        metrics = self.generator_metrics(old, a, b)
        self.players = descended(
            old,
            ("a2b", "b2a"),
            lambda near: self.generator_metrics(near, a, b)["generator/loss"],
        )
        # The critics are shown the fakes of the generators before their step.
        fakes = {"a": translated(old["b2a"], b), "b": translated(old["a2b"], a)}
        judged = {"a": a, "b": b}, self.shown(fakes, number)
        metrics |= self.critic_metrics(self.players, *judged)
        self.players = descended(
            self.players,
            ("a", "b"),
            lambda near: self.critic_metrics(near, *judged)["critic/loss"],
        )
        for name in "ab" if self.clip else "":
            params = self.players[name]
            for field, value in params.items():
                params[field] = np.clip(value, -self.clip, self.clip)
        self.average = {
            name: {
                field: DECAY * value + (1 - DECAY) * self.players[name][field]
                for field, value in params.items()
            }
            for name, params in self.average.items()
        }
        return metrics


def absolute(x):
    return np.mean(np.abs(x))


def descended(players, names, loss):
    """Return the players after `names` took a step down `loss`, by differences."""
    moved = {name: dict(params) for name, params in players.items()}
    for name in names:
        for field in players[name]:
            sides = []
            for step in (1e-6, -1e-6):
                nearby = {n: dict(params) for n, params in players.items()}
                nearby[name][field] += step
                sides.append(loss(nearby))
            moved[name][field] -= RATE * (sides[0] - sides[1]) / 2e-6
    return moved


STEPS, BATCH, POOL, DECAY = 4, 2, 3, 0.9
PENALTY = {"penalty": penalties.gradient_penalty, "penalty_weight": 3.0}
CASES = {  # weight of the identity, other options
    "lsgan": (0.5, {"ema_decay": DECAY}),
    "vanilla": (0.0, {}),
    "wasserstein": (0.5, {"clip": 0.25}),
    "wgan_gp": (0.0, PENALTY),
}


@functools.cache
def compiled(adversarial):
    """Return a case's first state, and its step."""
    identity_weight, options = CASES[adversarial]
    options = {**options, "identity_weight": identity_weight}
    gan = affine_gan(adversarial=adversarial, **options)
    return affine_state(gan), jax.jit(gan.train_step)


@pytest.mark.parametrize("adversarial", CASES)
def test_steps_are_those_of_the_paper(adversarial):
    identity_weight, options = CASES[adversarial]
    numbers = {n: x for n, x in options.items() if n in ("clip", "penalty_weight")}
    paper = Paper(adversarial, identity_weight, **numbers)
    state, step = compiled(adversarial)
    data = batches(STEPS, BATCH, TINY)
    for number in range(STEPS):
        batch = {name: x[number] for name, x in data.items()}
        state, metrics = step(state, batch, KEY)
        expected = paper.step(batch, number)
        others = {"learning_rate/generator", "learning_rate/critic"}
        others |= {"critic/weights_at_clip"} if "clip" in options else set()
        assert metrics.keys() == expected.keys() | others
        for name, value in expected.items():
            assert metrics[name] == pytest.approx(value), name
        found = {**state.generator.params, **state.critic.params}
        assert largest_difference(found, paper.players) < 1e-8
        for name, kept in paper.kept.items():
            images = state.memory["pool"][name]["images"][: len(kept)]
            np.testing.assert_allclose(images, kept, rtol=0, atol=1e-8)
        assert state.step == number + 1
        if "ema_decay" in options:
            average = state.memory["average"]["params"]
            assert largest_difference(average, paper.average) < 1e-8
    assert ("average" in state.memory) == ("ema_decay" in options)


def test_a_penalty_acts_on_the_critics_weights():
    batch = {name: x[0] for name, x in batches(1, BATCH, TINY).items()}
    moved = {}
    for weight in (0.0, 3.0):
        paper = Paper("wgan_gp", 0.0, penalty_weight=weight)
        paper.step(batch, 0)
        moved[weight] = paper.players
    state, step = compiled("wgan_gp")
    state, _ = step(state, batch, KEY)
    for name, params in state.critic.params.items():
        assert params["weight"] == pytest.approx(moved[3.0][name]["weight"])
        assert abs(params["weight"] - moved[0.0][name]["weight"]) > 1e-3


def test_a_clip_holds_from_the_beginning():
    gan = affine_gan(adversarial="wasserstein", clip=0.25)
    state = jax.jit(gan.init)(KEY)
    for name, params in state.critic.params.items():
        assert params == {"weight": 0.25, "shift": 0.0}, name  # initialised with 1


def test_without_a_clip_nothing_is_clipped():
    gan = affine_gan(adversarial="wasserstein")
    for name, params in jax.jit(gan.init)(KEY).critic.params.items():
        assert params == {"weight": 1.0, "shift": 0.0}, name


def test_no_two_networks_begin_alike():
    state = jax.jit(build(small()).gan(SHAPE).init)(KEY)
    for players in (state.generator.params, state.critic.params):
        one, other = map(leaves, players.values())
        for name in one:
            assert np.array_equal(one[name], other[name]) == ("bias" in name), name


# Dropout


def dropped(axis_name=None, shares=1):
    """Return which elements of the first two steps' fakes, by domain, are zero."""
    gan = affine_gan(axis_name, dropout=True, pool_size=16, identity_weight=0.0)
    state, step = affine_state(gan), gan.train_step
    if axis_name:
        step = jax.vmap(
            step, axis_name=axis_name, in_axes=(None, 0, None), out_axes=None
        )
    image = np.full((1, 8, *TINY), 200, np.uint8)  # every example the same
    batch = {"a": image, "b": image}
    if axis_name:
        share = {name: x[None] for name, x in batch.items()}
        batch = {n: x[:, 0] for n, x in devices.split_batch(share, shares).items()}
    step = jax.jit(step)
    for _ in range(2):
        state, _ = step(state, batch, KEY)
    return {name: np.asarray(state.memory["pool"][name]["images"]) for name in "ab"}


def test_dropout_is_drawn_for_each_example_pass_and_step():
    alone = dropped()
    masks = np.concatenate([alone[name] == 0 for name in "ab"]).reshape(32, -1)
    assert len(np.unique(masks, axis=0)) == 32
    assert 0.4 < masks.mean() < 0.6
    by_shares = dropped("device", 4)
    assert largest_difference(alone, by_shares) < 1e-12


# Translations and their score


def test_translations_and_psnr_are_those_of_the_moving_average():
    gan = affine_gan(dropout=True, ema_decay=0.9)
    state = affine_state(gan)
    worse = {n: {f: x + 1 for f, x in FIRST[n].items()} for n in ("a2b", "b2a")}
    state = state.replace(generator=state.generator.replace(params=worse))
    rng = np.random.default_rng(3)
    a, b, truth_a, truth_b = rng.integers(0, 256, (4, 5, *TINY), np.uint8)
    made = jax.jit(gan.sample)(state, DomainImages(a, b), KEY)
    x, y, true_x, true_y = (z / 127.5 - 1 for z in (a, b, truth_a, truth_b))
    a2b, b2a = translated(FIRST["a2b"], x), translated(FIRST["b2a"], y)
    expected = {
        "a2b": a2b,
        "a2b2a": translated(FIRST["b2a"], a2b),
        "b2a": b2a,
        "b2a2b": translated(FIRST["a2b"], b2a),
    }
    assert made.keys() == expected.keys()
    assert largest_difference(made, expected) < 1e-12

    evaluate = jax.jit(gan.evaluate)
    assert evaluate(state, DomainImages(a, b), KEY) == {}
    scores = evaluate(state, DomainImages(a, b, truth_b, truth_a), KEY)
    pairs = {
        "a2b": (a2b, true_y),
        "b2a": (b2a, true_x),
        "identity_a2b": (x, true_y),
        "identity_b2a": (y, true_x),
    }
    assert scores.keys() == {f"heldout/psnr_{name}" for name in pairs}
    for name, (found, true) in pairs.items():
        squares = np.mean((found - true) ** 2, axis=(1, 2, 3))
        decibels = np.mean(10 * np.log10(4 / squares))
        assert scores[f"heldout/psnr_{name}"] == pytest.approx(decibels), name


# One device and many (test_devices.py has the rest)


def test_a_penalised_step_by_shares_of_the_batch_is_the_same():
    """Unlike pmap, vmap raises where an output could differ between the shares."""
    batch = {name: x[0] for name, x in batches(1, 8, TINY).items()}
    options = {"critic": CurvedRows, "adversarial": "wgan_gp", **PENALTY}
    alone, gan = affine_gan(**options), affine_gan("device", **options)
    step = jax.vmap(
        gan.train_step, axis_name="device", in_axes=(None, 0, None), out_axes=None
    )
    split = devices.split_batch({name: x[None] for name, x in batch.items()}, 4)
    split = {name: x[:, 0] for name, x in split.items()}
    state = affine_state(alone)
    by_shares = jax.jit(step)(state, split, KEY)
    whole = jax.jit(alone.train_step)(state, batch, KEY)
    assert largest_difference(by_shares, whole) < 1e-12


# The work of a step


GENERATOR_CONVOLUTIONS, CRITIC_CONVOLUTIONS = 8, 3  # resnet_1blocks, patch of 1 layer


def expected_convolutions():
    """Count the convolutions of one step's forward and backward passes.

    Backward, a convolution has two more, for its kernel and for its input; the first
    one of a network has none for an input that is a real image or is not trained.
    """
    n, m = GENERATOR_CONVOLUTIONS, CRITIC_CONVOLUTIONS
    on_real = 2  # each generator, on the images of one domain or of both at once
    on_fakes = 2  # back again
    generators = on_real * (3 * n - 1) + on_fakes * 3 * n
    judged = 2 * (2 * m)  # no gradient for the critics' kernels
    critics = 2 * (3 * m - 1)  # real and fake at once, of a and of b
    return generators + judged + critics


def convolutions(identity):
    """Return the number of convolutions in the compiled step.

    `jax_disable_most_optimizations` is about LLVM's; XLA merges what it can.
    """
    config = small(gan__identity_weight=0.5 * identity)
    gan = build(config).gan(SHAPE)
    shapes = jax.eval_shape(gan.init, KEY)
    batch = {name: x[0] for name, x in batches(1, 2).items()}
    compiled = jax.jit(gan.train_step).lower(shapes, batch, KEY).compile()
    return len(re.findall(r" convolution\(", compiled.as_text()))


@pytest.mark.parametrize("identity", [False, True])
def test_each_network_has_two_passes_a_step(identity, plain_convolutions):
    assert convolutions(identity) == expected_convolutions()


def test_fakes_made_twice_are_counted(plain_convolutions, monkeypatch):
    """Of flipped images: XLA can merge the same ones with the generators' turn's."""
    make = module.turn

    def making_fakes_again(player, loss, *arguments):
        take = make(player, loss, *arguments)

        def twice(state, batch, key):
            flipped = batch | {name: batch[name][:, ::-1] for name in "ab"}
            made = loss(state.generator.params, state, flipped, key)[1].for_later_turns
            state, batch, metrics = take(state, batch, key)
            return state, batch | made, metrics

        return twice if player == "generator" else take

    monkeypatch.setattr(module, "turn", making_fakes_again)
    assert convolutions(False) > expected_convolutions()


# The learning rate


HORSES = 1334  # of horse2zebra's larger domain: the length of its epoch


@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_rate_of_each_epoch_is_upstreams(batch_size):
    config = small("horse2zebra", batch_size)
    last = data.PairPlan(1067, HORSES, batch_size, 0, True).steps(200) - 1
    for player in ("generator", "critic"):
        rate = translation_family.optimizer(
            build(config).values, player, HORSES
        ).learning_rate
        rates = {}
        for epoch in (1, 100, 101, 102, 200, 201, 250):
            # The steps whose first example is the epoch's.
            begins = -(-(epoch - 1) * HORSES // batch_size)
            ends = -(-epoch * HORSES // batch_size) - 1
            rates[epoch], same = (float(rate(jnp.array(k))) for k in (begins, ends))
            assert rates[epoch] == same
            if epoch == 200:
                assert ends == last
        multipliers = {1: 1, 100: 1, 101: 100 / 101, 102: 99 / 101, 200: 1 / 101}
        multipliers |= {201: 0, 250: 0}
        assert rates == pytest.approx({k: 2e-4 * x for k, x in multipliers.items()})
        every = jax.vmap(rate)(jnp.arange(0, last + 5 * HORSES, 97))
        assert np.all(np.diff(every) <= 0)
        assert len(np.unique(every)) == 102


def test_rate_by_steps():
    schedule = {"constant_steps": 3, "decay_steps": 2}
    values = build(small(**both_optimizers(**schedule))).values
    rate = translation_family.optimizer(values, "critic", HORSES)
    rates = [float(rate.learning_rate(jnp.array(k))) for k in range(7)]
    expected = [1, 1, 1, 2 / 3, 1 / 3, 0, 0]
    assert rates == pytest.approx([2e-4 * x for x in expected])
    constant = small(**both_optimizers(constant_steps=0, decay_steps=0))
    rate = translation_family.optimizer(build(constant).values, "critic", HORSES)
    assert rate.learning_rate(jnp.array(10**9)) == 2e-4


# Penalised critics


def test_a_penalised_critic_with_batch_norm_is_refused():
    config = small("wgan_gp", critic__norm="batch")
    with pytest.raises(UserError, match=r"critic\.norm = batch: .*must not mix"):
        build(config)
    # And were it to get past the config's check, by its gradients:
    checked = build(small("wgan_gp"))
    passed = dataclasses.replace(
        checked, values=checked.values | {"critic.norm": "batch"}
    )
    params = drawn_state(passed.gan(SHAPE)).critic.params
    with pytest.raises(UserError, match="the critic mixes the examples"):
        passed.check_critic(SHAPE, 0, params)
    config.gan.adversarial = "lsgan"
    build(config).check_critic(SHAPE, 0, params)


def test_a_penalised_critic_with_instance_norm_is_taken():
    built = build(small("wgan_gp"))
    params = drawn_state(built.gan(SHAPE)).critic.params
    built.check_critic(SHAPE, 0, params)


def products(jaxpr):
    """Return the types of the operands of every convolution."""
    return set(operand_types(jaxpr, "conv_general_dilated"))


def test_bfloat16_takes_the_penalty_in_float32(monkeypatch):
    config = small("wgan_gp", train__precision="bfloat16")
    seen = []

    def penalty(score, key, real, fake, index):
        jaxpr = jax.make_jaxpr(lambda x: penalties.gradient_norms(score, x))(real)
        seen.append(products(jaxpr.jaxpr))
        return penalties.gradient_penalty(score, key, real, fake, index=index)

    monkeypatch.setattr(experiment, "penalty_function", lambda _: penalty)
    with jax.enable_x64(False):
        gan = build(config).gan(SHAPE)
        state = jax.eval_shape(gan.init, KEY)
        batch = {name: x[0] for name, x in batches(1, 2).items()}
        step = jax.make_jaxpr(gan.train_step, return_shape=True)
        jaxpr, (after, _) = step(state, batch, KEY)
    assert seen == [{"float32"}, {"float32"}]
    assert "bfloat16" in products(jaxpr.jaxpr)
    types = jax.tree.map(lambda x: x.dtype, (state, after))
    assert types[0] == types[1]
