"""WGAN and WGAN-GP as algorithms: what each turn sees, computes and changes."""

import dataclasses
import functools
import math
import runpy
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import copy_to_host
from helpers.jaxprs import operand_types
from ml_collections import ConfigDict

from jaxgan import optim, penalties, turns
from jaxgan.errors import UserError
from jaxgan.experiment import build, experiment, latent_family
from jaxgan.experiment import variants as configs
from jaxgan.gans import critic_passes
from jaxgan.gans.players import Players
from jaxgan.gans.wgan_gp import wgan_gp
from jaxgan.runtime import devices
from jaxgan.types import LatentInputs

CONFIGS = {
    name: runpy.run_path(str(Path(__file__).parents[2] / "configs" / f"{name}.py"))
    for name in ("wgan", "wgan_gp")
}
KEY = jax.random.key(7)
TINY_DCGAN = {
    "generator": {"name": "dcgan_5x5", "width": 2, "norm": "batch", "output": "tanh"},
    "critic": {"name": "dcgan_5x5", "width": 2, "norm": "batch"},
}
SHAPE = (8, 8, 1)


def small(name, variant="", networks=None, **fields):
    """Return a variant's config, small, with `section__field=value` replaced."""
    config = CONFIGS[name]["get_config"](variant)
    config.data.batch_size, config.gan.n_critic, config.gan.latent_size = 4, 2, 3
    with config.unlocked():
        for player in ("generator", "critic"):
            for field, value in {"width": 2, "hidden": (6, 5)}.items():
                if field in config[player]:
                    config[player][field] = value
        for player, network in (networks or {}).items():
            config[player] = ConfigDict(network)
        for field, value in fields.items():
            section, _, key = field.partition("__")
            config[section][key] = value
    return config


def with_sgd(**fields):
    """Return the fields that make plain gradient descent both optimizers."""
    both = {"name": "sgd", "learning_rate": 0.05, "b1": 0.0, "b2": 0.0}
    both["decay_steps"] = 0
    return {"optimizer__generator": both, "optimizer__critic": both, **fields}


def batches(config, steps, shape=SHAPE, classes=1, n_critic=None):
    """Return a call's batch of random examples and labels."""
    rng = np.random.default_rng(0)
    lead = (steps, n_critic or config.gan.n_critic, config.data.batch_size)
    if len(shape) == 1:
        image = rng.standard_normal((*lead, *shape)).astype(np.float32)
    else:
        image = rng.integers(0, 256, (*lead, *shape), np.uint8)
    label = rng.integers(0, classes, lead).astype(np.int32)
    return {"image": image, "label": label}


def drawn(shapes, seed=0):
    """Return random numbers in a tree's shapes: no time goes into compiling init."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        if leaf.ndim > 1 and ".params" in name:
            numbers = rng.standard_normal(leaf.shape)
            numbers /= math.sqrt(leaf.size / leaf.shape[-1])
            return jnp.asarray(numbers, leaf.dtype)
        fill = jnp.ones if "scale" in name or "var" in name else jnp.zeros
        return fill(leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def drawn_state(gan, seed=0):
    """Return a state of random parameters; a moving average begins with them."""
    state = drawn(jax.eval_shape(gan.init, KEY), seed)
    if state.memory:
        memory = {"average": turns.generator_variables(state)}
        state = state.replace(memory=memory)
    return jax.tree.map(jnp.copy, state)  # as the step is given the state to overwrite


def train(config, steps, shape=SHAPE, classes=0, init=False):
    """Return the state before, that after `steps`, and the metrics, all as numpy."""
    used = jax.devices()[:1]
    gan = build(config).gan(shape, classes)
    before = jax.jit(gan.init)(KEY) if init else drawn_state(gan)
    before = copy_to_host(before)
    state = devices.replicate(before, used)
    batch = batches(config, steps, shape, classes or 1)
    after, metrics = devices.compile_steps(gan, used)(state, batch, KEY)
    return before, copy_to_host(after), copy_to_host(metrics)


def leaves(tree):
    """Return {path: array} of a tree."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in flat}


def largest_difference(one, other):
    """Return the largest absolute difference between two trees of one structure."""
    one, other = leaves(one), leaves(other)
    assert one.keys() == other.keys()
    return max(float(np.max(np.abs(one[name] - other[name]))) for name in one)


@pytest.fixture
def float64():
    """Compute in float64, also in the threads of a spy's callbacks."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(autouse=True)
def quick_compiling():
    """Compile without most optimizations: here compiling is all that takes time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


class Spy:
    """Players that note every call, also inside scans and gradients."""

    def __init__(self, players):
        self.scored, self.generated = [], []
        spy = self

        class Spied(Players):
            def score(self, params, batch_stats, examples):
                jax.debug.callback(spy.note_score, params, examples, ordered=True)
                return super().score(params, batch_stats, examples)

            def generate(self, variables, latents, labels, train=True):
                out = super().generate(variables, latents, labels, train)
                jax.debug.callback(
                    spy.note_fakes, latents, labels, out[0], ordered=True
                )
                return out

        self.players = Spied(*players)

    def note_score(self, params, examples):
        self.scored.append((leaves(params), np.array(examples)))

    def note_fakes(self, latents, labels, fakes):
        self.generated.append((np.array(latents), np.array(labels), np.array(fakes)))

    def forget(self):
        """Forget the calls so far."""
        jax.effects_barrier()
        self.scored, self.generated = [], []


def spied_run(monkeypatch, config, **arguments):
    """Train with spied players; returns the spy and what `train` returns."""
    spies = []

    def spied(*arguments):
        spies.append(Spy(original(*arguments)))
        return spies[-1].players

    original = latent_family.networks
    monkeypatch.setattr(latent_family, "networks", spied)
    # Each critic step makes its own fakes, because callbacks under vmap have no order.
    # test_merged_passes.py shows that fakes made together are the same.
    monkeypatch.setattr(critic_passes, "MOST_AT_ONCE", 0)
    result = train(config, **arguments)
    jax.effects_barrier()
    return spies[0], result


def all_different(arrays):
    """Return whether no row of any array equals another row of any."""
    rows = np.concatenate([np.reshape(a, (len(a), -1)) for a in arrays])
    return len(np.unique(rows, axis=0)) == len(rows)


# Every distinct pair of networks


def distinct_pairs():
    """Return (config, variant), one for each pair of networks and their norms."""
    pairs = {}
    for name, module in CONFIGS.items():
        for variant in ("", *module["VARIANTS"]):
            config = module["get_config"](variant)
            networks = {k: config[k] for k in ("generator", "critic")}
            kind = [name, config.gan.get("conditional", False)] + [
                (field, value)
                for field, value in sorted(configs.flatten(networks).items())
                if field.endswith(("name", "norm"))
            ]
            pairs.setdefault(str(kind), (name, variant))
    return list(pairs.values())


def shape_for(config):
    """Return the data's shape; 16x16 for networks whose depth follows the size."""
    shapes = {"digits": SHAPE, "8gaussians": (2,), "tfds:mnist": (28, 28, 1)}
    side = config.data.image_size
    side = side if config.critic.name.startswith("resnet") else 16
    return shapes.get(config.data.name, (side, side, 3))


NAMES_OF_METRICS = {
    "wgan": {"critic/weights_at_clip"},
    "wgan_gp": {"critic/gradient_penalty", "critic/gradient_norm"},
    "both": {
        "critic/loss",
        "critic/wasserstein",
        "generator/loss",
        "learning_rate/generator",
        "learning_rate/critic",
    },
    "conditional": {
        "critic/classification",
        "critic/accuracy_real",
        "critic/accuracy_fake",
        "generator/classification",
    },
}


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(("name", "variant"), distinct_pairs())
def test_every_pair_of_networks_trains_two_steps(name, variant):
    config = small(name, variant, data__batch_size=2)
    for player in ("generator", "critic"):
        config.optimizer[player].learning_rate = 0.01
    if name == "wgan":
        config.gan.clip = 0.5  # at 0.01 and width 2 hardly any gradient gets through
    build(config)
    shape = shape_for(config)
    classes = 10 if config.gan.get("conditional", False) else 0
    before, after, metrics = train(config, 2, shape, classes)

    names = NAMES_OF_METRICS["both"] | NAMES_OF_METRICS[name]
    assert metrics.keys() == names | (
        NAMES_OF_METRICS["conditional"] if classes else set()
    )
    for metric, values in metrics.items():
        of_generator = metric.startswith("generator/") or metric.endswith("/generator")
        assert values.shape == ((2,) if of_generator else (2, 2)), metric
        assert np.all(np.isfinite(values)), metric
    assert after.step == 2
    for player in ("generator", "critic"):
        old, new = leaves(getattr(before, player)), leaves(getattr(after, player))
        assert old.keys() == new.keys()
        assert all(np.all(np.isfinite(leaf)) for leaf in new.values())
        for kernel in (k for k in old if ".params" in k and "kernel" in k):
            assert not np.array_equal(old[kernel], new[kernel]), kernel


# What a critic step sees


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_five_critic_steps_see_five_batches_latents_and_epsilons(name, monkeypatch):
    config = small(name, "toy", gan__n_critic=5)
    spy, _ = spied_run(monkeypatch, config, steps=2, shape=(2,))
    # Each of the two steps: five times for the critic, once for the generator.
    assert len(spy.generated) == 12
    assert all_different([latents for latents, _, _ in spy.generated])

    calls = 2 if name == "wgan_gp" else 1  # real and fake together, interpolates
    assert len(spy.scored) == 2 * (5 * calls + 1)
    examples = [x for _, x in spy.scored]
    expected = batches(config, 2, (2,))["image"]
    epsilons = []
    for step in range(2):
        for critic_step in range(5):
            first = step * (5 * calls + 1) + critic_step * calls
            both, *mixed = examples[first : first + calls]
            real, fake = np.split(both, 2)
            np.testing.assert_array_equal(real, expected[step, critic_step])
            made = spy.generated[6 * step + critic_step][2]
            np.testing.assert_array_equal(fake, made)
            if mixed:
                share = (mixed[0] - fake) / (real - fake)  # the same for x and y
                np.testing.assert_allclose(share[:, 0], share[:, 1], atol=1e-3)
                assert np.all((share > -1e-3) & (share < 1 + 1e-3))
                epsilons.append(share[:, :1].round(5))
    assert len(epsilons) == (10 if name == "wgan_gp" else 0)
    assert not epsilons or all_different(epsilons)


# The box of the weights


def clip_config(order):
    """Steps so large that without clipping every weight would leave the box."""
    return small(
        "wgan", networks=TINY_DCGAN, gan__n_critic=5, gan__clip=0.01,
        gan__clip_order=order, **with_rmsprop(0.01),
    )  # fmt: skip


def with_rmsprop(learning_rate):
    """Return the fields of RMSProp for both players."""
    fields = {"name": "rmsprop", "learning_rate": learning_rate}
    fields |= {"b1": 0.0, "b2": 0.0, "decay_steps": 0}
    return {"optimizer__generator": fields, "optimizer__critic": fields}


@pytest.mark.parametrize("order", ["after", "before"])
def test_every_leaf_is_in_the_box_after_every_critic_step(order, monkeypatch):
    config = clip_config(order)
    spy, result = spied_run(monkeypatch, config, steps=2, init=True)
    before, after, metrics = result
    for name, leaf in leaves(before.critic.params).items():
        assert np.max(np.abs(leaf)) <= np.float32(0.01), name
    # A critic step's outcome is what the next one, or the generator's, is scored by.
    assert len(spy.scored) == 2 * (5 * 2 + 1)
    outside = []
    for call, (params, _) in enumerate(spy.scored):
        assert {"['down_1_norm']['scale']", "['down_1_norm']['bias']"} <= params.keys()
        largest = {name: np.max(np.abs(leaf)) for name, leaf in params.items()}
        if max(largest.values()) > np.float32(0.01):
            outside.append(call)
            # RMSProp's update is at most learning_rate / sqrt(1 - decay).
            assert max(largest.values()) <= 0.01 + 0.01 * 10 * (1 + 1e-5)
    # With 'before', the critic that the generator sees has just been updated.
    assert outside == ([] if order == "after" else [10, 21])
    assert metrics["critic/weights_at_clip"].shape == (2, 5)
    assert metrics["critic/weights_at_clip"][0, 1:].min() > 0.5
    assert largest_difference(spy.scored[-1][0], leaves(after.critic.params)) == 0


# Values


def perceptron(params, x):
    """Return the scores [b] of the MLP critic, and their gradients by x, in numpy."""
    slopes = []
    x = x.reshape(len(x), -1)
    for number in range(len(params) - 1):
        layer = params[f"hidden_{number}"]
        x = x @ layer["kernel"] + layer["bias"]
        slopes.append(np.where(x > 0, 1.0, 0.2))
        x = x * slopes[-1]
    scores = x @ params["output"]["kernel"] + params["output"]["bias"]
    gradient = np.broadcast_to(params["output"]["kernel"][:, 0], x.shape)
    for number in reversed(range(len(slopes))):
        gradient = gradient * slopes[number] @ params[f"hidden_{number}"]["kernel"].T
    return scores[:, 0], gradient


def test_wgans_losses_are_those_of_the_paper(float64, monkeypatch):
    config = small("wgan", gan__n_critic=1, gan__clip=0.3)
    spy, (before, after, metrics) = spied_run(monkeypatch, config, steps=1)
    real = batches(config, 1)["image"][0, 0] / 127.5 - 1
    (_, _, fake), (_, _, generated) = spy.generated
    scores = [perceptron(before.critic.params, x)[0] for x in (real, fake)]
    distance = scores[0].mean() - scores[1].mean()
    assert metrics["critic/loss"][0, 0] == pytest.approx(-distance, rel=1e-9)
    assert metrics["critic/wasserstein"][0, 0] == pytest.approx(distance, rel=1e-9)
    judged = perceptron(after.critic.params, generated)[0].mean()
    assert metrics["generator/loss"][0] == pytest.approx(-judged, rel=1e-9)


@pytest.mark.parametrize(
    ("penalty", "target", "one_sided"),
    [
        ("gradient_penalty", 1.0, False),
        ("gradient_penalty", 0.2, True),
        ("r1", 1, False),
    ],
)
def test_wgan_gps_loss_is_the_sum_of_its_weighted_terms(
    penalty, target, one_sided, float64, monkeypatch
):
    config = small(
        "wgan_gp", gan__n_critic=1, gan__penalty=penalty, gan__penalty_weight=7.0,
        gan__penalty_target=float(target), gan__penalty_one_sided=one_sided,
        gan__drift_weight=0.3,
    )  # fmt: skip
    spy, (before, _, metrics) = spied_run(monkeypatch, config, steps=1)
    real = batches(config, 1)["image"][0, 0] / 127.5 - 1
    params = before.critic.params
    real_scores, _ = perceptron(params, real)
    fake_scores, _ = perceptron(params, spy.generated[0][2])
    (_, both), (_, mixed), _ = spy.scored
    _, gradients = perceptron(params, mixed)
    norms = np.sqrt(np.sum(gradients**2, axis=1))
    if penalty == "r1":
        np.testing.assert_array_equal(mixed, np.split(both, 2)[0])
        term = np.mean(norms**2) / 2
    else:
        distances = norms / target - 1
        term = np.mean((np.maximum(distances, 0) if one_sided else distances) ** 2)
        assert term > 0
    distance, drift = real_scores.mean() - fake_scores.mean(), np.mean(real_scores**2)
    expected = {
        "critic/wasserstein": distance,
        "critic/gradient_penalty": term,
        "critic/gradient_norm": norms.mean(),
        "critic/drift": drift,
        "critic/loss": -distance + 7.0 * term + 0.3 * drift,
    }
    for name, value in expected.items():
        assert metrics[name][0, 0] == pytest.approx(value, rel=1e-9), name


# Conditional WGAN-GP, with networks small enough for a million labels


class LabelledGenerator(nn.Module):
    """Latents moved by a vector of their label."""

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        return latents + nn.Embed(10, 2, name="move")(labels)


class ClassifyingCritic(nn.Module):
    """A linear score and linear logits."""

    dtype: object = None

    @nn.compact
    def __call__(self, images, *, train):
        return nn.Dense(1, name="score")(images)[:, 0], nn.Dense(10)(images)


@functools.cache
def conditional_step(**options):
    """Return the spy, state before and after one step, and the metrics."""
    sgd = optim.optimizer(name="sgd", learning_rate=0.5, b1=0, b2=0, decay_steps=0)
    shape = (2,)
    spy = Spy(Players(LabelledGenerator(), ClassifyingCritic(), shape, "normal", 2, 10))
    gan = wgan_gp(
        spy.players, generator_optimizer=sgd, critic_optimizer=sgd,
        penalty=penalties.gradient_penalty, penalty_weight=10.0,
        generator_batch_multiple=2, **options,
    )  # fmt: skip
    state = drawn_state(gan)
    spy.forget()
    rng = np.random.default_rng(1)
    batch = {
        "image": rng.standard_normal((1, 5000, 2)).astype(np.float32),
        "label": np.full((1, 5000), 3, np.int32),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(critic_passes, "MOST_AT_ONCE", 0)  # as in `spied_run`
        after, metrics = jax.jit(gan.train_step)(state, batch, KEY)
    jax.effects_barrier()
    return spy, state, after, metrics, batch


def test_fakes_have_the_real_labels_for_the_critic_and_uniform_ones_for_themselves():
    spy, *_ = conditional_step()
    (_, of_critic, _), (latents, of_generator, _) = spy.generated
    assert of_critic.tolist() == [3] * 5000
    # generator_batch_multiple = 2
    assert of_generator.shape == (10_000,)
    assert latents.shape == (10_000, 2)
    counts = np.bincount(of_generator, minlength=10)
    assert counts.shape == (10,)
    assert np.sum((counts - 1000) ** 2 / 1000) < 27.9  # chi-square, 9 d.o.f., 99.9 %


def cross_entropy(params, examples, labels):
    logits = ClassifyingCritic().apply({"params": params}, examples, train=True)[1]
    chosen = jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
    return -jnp.mean(chosen)


@pytest.mark.parametrize("weights", [(1.0, 0.1), (2.0, 3.0)])
def test_classifier_terms_are_weighted_and_the_critics_is_on_real_examples(weights):
    given = {
        "critic_classifier_weight": weights[0],
        "generator_classifier_weight": weights[1],
    }
    # The defaults are the authors' weights.
    run = conditional_step() if weights == (1.0, 0.1) else conditional_step(**given)
    spy, before, after, metrics, batch = run
    real, labels = batch["image"][0], batch["label"][0]
    old, new = before.critic.params, after.critic.params

    entropy, gradient = jax.jit(jax.value_and_grad(cross_entropy))(old, real, labels)
    assert metrics["critic/classification"][0] == pytest.approx(
        float(entropy), rel=1e-5
    )
    # The logits' layer is moved by that term alone.
    for leaf, slope in gradient["Dense_0"].items():
        moved = new["Dense_0"][leaf] - old["Dense_0"][leaf]
        np.testing.assert_allclose(moved, -0.5 * weights[0] * slope, atol=1e-6)
    total = (
        -metrics["critic/wasserstein"]
        + 10 * metrics["critic/gradient_penalty"]
        + weights[0] * metrics["critic/classification"]
    )
    np.testing.assert_allclose(metrics["critic/loss"], total, rtol=1e-5)

    _, (latents, drawn, fakes) = spy.generated

    def generators_loss(table):
        fake = latents + table[drawn]
        scores, _ = ClassifyingCritic().apply({"params": new}, fake, train=True)
        return -jnp.mean(scores) + weights[1] * cross_entropy(new, fake, drawn)

    table = before.generator.params["move"]["embedding"]
    moved = after.generator.params["move"]["embedding"] - table
    expected = -0.5 * jax.jit(jax.grad(generators_loss))(table)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    expected = cross_entropy(new, fakes, drawn)
    assert metrics["generator/classification"] == pytest.approx(
        float(expected), rel=1e-5
    )


# The moving average and sampling


def test_moving_average_follows_its_recurrence_and_is_what_sample_uses():
    config = small("wgan_gp", gan__ema_decay=0.75, **with_rmsprop(0.01))
    gan = build(config).gan(SHAPE)
    steps = devices.compile_steps(gan, jax.devices()[:1])
    state = drawn_state(gan)
    expected = jax.tree.map(np.array, turns.generator_variables(state))
    assert largest_difference(expected, state.memory["average"]) == 0
    batch = batches(config, 3)
    for step in range(3):
        one = {name: leaf[step : step + 1] for name, leaf in batch.items()}
        state, _ = steps(state, one, KEY)
        new = turns.generator_variables(state)
        expected = jax.tree.map(lambda m, x: 0.75 * m + 0.25 * x, expected, new)
        assert largest_difference(expected, state.memory["average"]) < 1e-6
    assert largest_difference(expected, new) > 0.01

    generator = build(config).networks(SHAPE, 0).generator
    asked = LatentInputs(np.zeros(5, np.int32), np.eye(5, 3))
    samples = gan.sample(state, asked, KEY)["samples"]
    averaged = generator.apply(state.memory["average"], asked.latents, train=False)
    np.testing.assert_allclose(samples, averaged, atol=1e-6)

    config.gan.ema_decay = 0.0
    without = build(config).gan(SHAPE)
    assert jax.eval_shape(without.init, KEY).memory == {}
    samples = without.sample(state.replace(memory={}), asked, KEY)["samples"]
    raw = generator.apply(new, asked.latents, train=False)
    np.testing.assert_allclose(samples, raw, atol=1e-6)
    assert np.max(np.abs(raw - averaged)) > 1e-3


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_sample_normalises_by_the_statistics_asked_for(statistics):
    config = small("wgan", networks=TINY_DCGAN, gan__sample_batch_norm=statistics)
    gan = build(config).gan(SHAPE)
    state = drawn_state(gan)
    sample = jax.jit(gan.sample)
    generator = build(config).networks(SHAPE, 0).generator
    latents = jax.random.normal(KEY, (6, 3))
    inputs = LatentInputs(np.zeros(6, np.int32), latents)
    samples = sample(state, inputs, KEY)["samples"]
    variables = turns.generator_variables(state)

    @jax.jit
    def expected(latents):
        train = statistics == "batch"
        made = generator.apply(variables, latents, train=train, mutable="batch_stats")
        return made[0]

    np.testing.assert_allclose(samples, expected(latents), atol=1e-6)
    # By running statistics a sample does not depend on its neighbours.
    others = inputs._replace(latents=latents.at[3:].multiply(2))
    changed = sample(state, others, KEY)["samples"]
    same = np.allclose(changed[:3], samples[:3], atol=1e-6)
    assert same == (statistics == "running")
    # Without latents they are drawn from the key.
    unsaid = LatentInputs(inputs.labels)
    drawings = [sample(state, unsaid, jax.random.key(n))["samples"] for n in (1, 2)]
    assert all_different(drawings)


# Seeds, scans and precision


def test_seeds_under_vmap_are_each_seeds_own_run(float64):
    config = small("wgan_gp", gan__penalty="r1", **with_sgd())
    gan = build(config).gan(SHAPE)
    batch = {name: leaf[0] for name, leaf in batches(config, 1).items()}

    keys = [jax.random.key(seed) for seed in (3, 1, 4)]
    states = [drawn_state(gan, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaf: jnp.stack(leaf), *states)
    step = jax.vmap(gan.train_step, in_axes=(0, None, 0))
    together = jax.jit(step)(stacked, batch, jnp.stack(keys))
    alone = jax.jit(gan.train_step)
    for index, (state, key) in enumerate(zip(states, keys, strict=True)):
        mine = jax.tree.map(lambda x: x[index], together)  # noqa: B023
        assert largest_difference(mine, alone(state, batch, key)) < 1e-9
    assert all_different([together[0].generator.params["output"]["kernel"]])
    assert all_different([together[1]["critic/loss"]])


def test_scans_of_one_and_of_three_steps_agree_to_the_byte():
    jax.config.update("jax_disable_most_optimizations", False)
    config = small("wgan_gp", gan__ema_decay=0.9)
    gan = build(config).gan(SHAPE)
    steps = devices.compile_steps(gan, jax.devices()[:1])
    batch = batches(config, 3)
    at_once, metrics = steps(drawn_state(gan), batch, KEY)
    state, parts = drawn_state(gan), []
    for step in range(3):
        one = {name: leaf[step : step + 1] for name, leaf in batch.items()}
        state, part = steps(state, one, KEY)
        parts.append(part)
    stacked = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    for whole, single in ((at_once, state), (metrics, stacked)):
        single = leaves(single)
        for path, leaf in leaves(whole).items():
            assert leaf.tobytes() == single[path].tobytes(), path


def products(jaxpr):
    """Return the types of the operands of every matrix product."""
    return set(operand_types(jaxpr, "dot_general", "conv_general_dilated"))


def test_bfloat16_trains_with_the_penaltys_products_in_float32(monkeypatch):
    config = small("wgan_gp", train__precision="bfloat16")
    seen = []

    def penalty(score, key, real, fake, index):
        jaxpr = jax.make_jaxpr(lambda x: penalties.gradient_norms(score, x))(real)
        seen.append(products(jaxpr.jaxpr))
        assert real.dtype == fake.dtype == jnp.float32
        return penalties.gradient_penalty(score, key, real, fake, index=index)

    monkeypatch.setattr(experiment, "penalty_function", lambda _: penalty)
    before, after, metrics = train(config, 2)
    assert seen
    assert all(types == {"float32"} for types in seen)
    for name, leaf in leaves((after.generator, after.critic)).items():
        assert leaf.dtype in (np.float32, np.int32), name
    assert all(np.all(np.isfinite(values)) for values in metrics.values())
    assert largest_difference(before.critic.params, after.critic.params) > 0
    gan = build(config).gan(SHAPE)
    batch = {name: leaf[0] for name, leaf in batches(config, 1).items()}
    step = jax.make_jaxpr(gan.train_step)(before, batch, KEY)
    assert {"bfloat16", "float32"} <= products(step.jaxpr)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_float64_stays_float64(name):
    config = small(name, gan__ema_decay=0.5)
    gan = build(config).gan(SHAPE)
    with jax.enable_x64(True):
        state = jax.eval_shape(gan.init, KEY)
        batch = {name: leaf[0] for name, leaf in batches(config, 1).items()}
        trained, metrics = jax.eval_shape(gan.train_step, state, batch, KEY)
        asked = LatentInputs(jnp.zeros(4, jnp.int32))
        drawn = jax.eval_shape(gan.sample, state, asked, KEY)
    for tree in (state, trained, metrics, drawn):
        flat = jax.tree_util.tree_leaves_with_path(tree)
        for path, leaf in flat:
            whole = jnp.issubdtype(leaf.dtype, jnp.integer)
            assert leaf.dtype == (jnp.int32 if whole else jnp.float64), path


# Critics that a penalty is not defined for


def drawn_critic(players):
    """Return random parameters of the critic."""
    examples = jnp.zeros((2, *players.shape))
    shapes = jax.eval_shape(
        lambda: players.critic.init(KEY, examples, train=True)["params"]
    )
    return drawn({".params": shapes})[".params"]


@pytest.mark.parametrize(
    "critic",
    [
        {"name": "dcgan_5x5", "width": 2, "norm": "batch"},
        {"name": "dcgan", "width": 2, "batch_norm": True, "extra_layers": 0},
    ],
)
def test_a_penalised_critic_with_batch_norm_is_refused(critic):
    config = small("wgan_gp", networks={"critic": critic})
    with pytest.raises(UserError, match=r"critic\..*norm = .*must not mix"):
        build(config)
    # And were it to get past the config's check, by its gradients:
    shape = (16, 16, 1)
    checked = build(small("wgan_gp"))
    others = {n: x for n, x in checked.values.items() if not n.startswith("critic.")}
    changed = {f"critic.{name}": value for name, value in critic.items()}
    passed = dataclasses.replace(checked, values=others | changed)
    params = drawn_critic(passed.networks(shape))
    with pytest.raises(UserError, match="the critic mixes the examples"):
        passed.check_critic(shape, 0, params)
    unpenalised = dataclasses.replace(passed, gan_name="wgan")
    unpenalised.check_critic(shape, 0, params)


def test_a_penalised_critic_with_layer_norm_is_taken():
    critic = TINY_DCGAN["critic"] | {"norm": "layer"}
    config = small("wgan_gp", networks={"critic": critic})
    build(config)
    params = drawn_critic(build(config).networks(SHAPE, 0))
    build(config).check_critic(SHAPE, 0, params)
