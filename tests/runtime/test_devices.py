"""One device and many give the same numbers, and a difference would be noticed.

In float64, where what is meant to be equal is to 1e-9. The default run trains tiny
networks (devices.py), `-m slow` the others.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cyclegans import drawn_state, largest_difference, leaves
from helpers.devices import (
    KEY,
    STEPS,
    batches,
    by_shares,
    choose,
    either_optimizer,
    gan_of,
    small,
    trainer,
    use_tiny_networks,
)
from jax import lax

from jaxgan import penalties, pool, turns
from jaxgan.experiment import experiment
from jaxgan.models import layers
from jaxgan.types import DomainImages, LatentInputs

GANS = ("wgan", "wgan_gp", "cyclegan")
OPTIMIZERS = ("sgd", "adam")
PLAIN = {
    "wgan": {"networks": "tiny"},
    "wgan_gp": {"networks": "tiny", "gan__conditional": True},
    "cyclegan": {"generator__norm": "none", "critic__norm": "none"},
}
WITH_BATCH_NORM = {
    "wgan": {"networks": "tiny_norm"},
    "wgan_gp": {"networks": "tiny_generator_norm", "gan__conditional": True},
    "cyclegan": {"generator__norm": "batch", "critic__norm": "batch"},
}
DEFAULT = PLAIN | {"wgan": WITH_BATCH_NORM["wgan"]}
TWO_SIDED = {"penalty_one_sided": False, "penalty_target": 1.0}
ONE_SIDED = {"penalty_one_sided": True, "penalty_target": 0.2}
PENALTIES = {
    "two_sided": {"penalty": "gradient_penalty"} | TWO_SIDED,
    "one_sided": {"penalty": "gradient_penalty"} | ONE_SIDED,
    "dragan": {"penalty": "dragan"} | TWO_SIDED,
    "dragan_one_sided": {"penalty": "dragan"} | ONE_SIDED,
    "r1": {"penalty": "r1"},
}


pytestmark = pytest.mark.usefixtures("float64_compiled_quickly")


@pytest.fixture
def tiny(monkeypatch, plain_convolutions):
    """Have the tiny networks of devices.py."""
    use_tiny_networks(monkeypatch)


@pytest.fixture
def either(monkeypatch, tiny):
    """Let a program train by either optimizer, and by several penalties at once."""
    either_optimizer(monkeypatch)
    one = experiment.penalty_function

    def several(options):
        terms = []
        for name in ("two_sided", "dragan_one_sided", "r1"):
            chosen = {n.removeprefix("gan."): x for n, x in PENALTIES[name].items()}
            terms.append(one(options | chosen))

        def summed(*arguments, index):
            values = [term(*arguments, index=index) for term in terms]
            return penalties.Penalty(*map(sum, zip(*values, strict=True)))

        return summed

    monkeypatch.setattr(experiment, "penalty_function", several)


@functools.cache
def on_one_device(gan, fields):
    """Return {optimizer: (the state before, the state after and metrics)}."""
    config = small(gan, **dict(fields))
    train, before = trainer(config), drawn_state(gan_of(config))
    states = {name: choose(before, name) for name in OPTIMIZERS}
    return {name: (state, train(state)) for name, state in states.items()}


def reference(gan, fields):
    """Return `on_one_device`, which trained every kernel and stayed in bounds."""
    runs = on_one_device(gan, tuple(fields.items()))
    for before, (after, metrics) in runs.values():
        for player in ("generator", "critic"):
            old, new = (leaves(getattr(s, player).params) for s in (before, after))
            moved = {n: np.max(np.abs(new[n] - old[n])) for n in old if "kernel" in n}
            assert min(moved.values()) > 1e-3, moved
        assert all(np.all(np.abs(x) < 1e3) for x in leaves((after, metrics)).values())
    return runs


# Twenty steps


@pytest.mark.parametrize("gan", GANS)
def test_eight_devices_equal_one(gan, either):
    on_eight = trainer(small(gan, **DEFAULT[gan]), 8)
    for before, one in reference(gan, DEFAULT[gan]).values():
        assert largest_difference(one, on_eight(before)) < 1e-9
        if gan == "cyclegan":
            assert one[0].memory["pool"]["a"]["count"] == 10


# The first steps in float32


def samples(config, state):
    """Return samples of fixed latents, or translations of fixed images."""
    batch = {name: x[-1, -1] for name, x in batches(config, 1).items()}
    if "label" in batch:
        latents = np.random.default_rng(2).standard_normal((len(batch["label"]), 3))
        inputs = LatentInputs(batch["label"], latents.astype(np.float32))
    else:
        inputs = DomainImages(**batch)
    return jax.jit(gan_of(config).sample)(state, inputs, KEY)


@pytest.mark.parametrize("gan", GANS)
def test_eight_devices_show_the_same_in_float32(gan, tiny):
    """Rounding by 6e-8 adds up over some hundred terms of a sum and nine updates."""
    with jax.enable_x64(False):
        config = small(gan, "adam", **WITH_BATCH_NORM[gan] | {"gan__ema_decay": 0.0})
        before, runs = drawn_state(gan_of(config)), []
        for count in (1, 8):
            after, metrics = trainer(config, count, steps=3)(before)
            runs.append((metrics, samples(config, after)))
        moved = largest_difference(samples(config, before), runs[0][1])
    assert moved > 1e-3
    for one, eight in zip(*map(leaves_of, runs), strict=True):
        assert one.dtype == eight.dtype == np.float32
        np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-5)


def leaves_of(tree):
    return leaves(tree).values()


# The twin under vmap, which raises where devices could have different states


def test_the_twin_under_vmap_has_the_same_numbers(either):
    config = small("wgan", **DEFAULT["wgan"])
    twin = jax.jit(by_shares(config))
    for before, one in reference("wgan", DEFAULT["wgan"]).values():
        assert largest_difference(one, twin(before)) < 1e-9


def replicated(gan, **fields):
    """Have the twin raise unless state and metrics are the same on all devices."""
    config = small(gan, **(fields or WITH_BATCH_NORM[gan]))
    before = drawn_state(gan_of(config))
    after, _ = jax.eval_shape(by_shares(config, steps=1), before)
    assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, before)


@pytest.mark.parametrize("gan", GANS)
def test_all_devices_have_the_same_state(gan, either):
    replicated(gan)


def replaced(monkeypatch, module, **functions):
    """Give one module, and no other, a `lax` with other functions."""
    monkeypatch.setattr(module, "lax", types.SimpleNamespace(**vars(lax) | functions))


@pytest.mark.parametrize(
    ("gan", "missing"), [*((gan, "gradients") for gan in GANS), ("wgan", "metrics")]
)
def test_an_average_that_is_missing_is_caught(gan, missing, either, monkeypatch):
    def pmean(trees, axis_name):
        names = ("gradients", "metrics")
        return tuple(
            tree if name == missing else lax.pmean(tree, axis_name)
            for name, tree in zip(names, trees, strict=True)
        )

    replaced(monkeypatch, turns, pmean=pmean)
    with pytest.raises(ValueError, match="vmap has mapped output"):
        replicated(gan)


def test_pools_of_each_devices_own_images_are_caught(either, monkeypatch):
    own = {"all_gather": lambda x, *_, **__: jnp.concatenate([x] * 8)}
    replaced(monkeypatch, pool, **own)
    with pytest.raises(ValueError, match="vmap has mapped output"):
        replicated("cyclegan")


# What is replicated and wrong, the numbers tell


def sums_for_averages(monkeypatch):
    replaced(monkeypatch, turns, pmean=lax.psum)


def draws_by_the_place_on_the_device(monkeypatch):
    replaced(monkeypatch, turns, axis_index=lambda _: 0)


@pytest.mark.parametrize(
    "broken",
    [
        draws_by_the_place_on_the_device,
        pytest.param(sums_for_averages, marks=pytest.mark.slow),
    ],
)
def test_what_would_depend_on_the_devices_is_caught(broken, either, monkeypatch):
    expected = reference("wgan", DEFAULT["wgan"])
    broken(monkeypatch)
    twin = jax.jit(by_shares(small("wgan", **DEFAULT["wgan"])))
    for optimizer, (before, (one, _)) in expected.items():
        after, _ = twin(before)
        apart = largest_difference(one.generator.params, after.generator.params)
        # Adam hides a gradient that is wrong by a factor.
        hidden = broken is sums_for_averages and optimizer == "adam"
        assert apart > (1e-8 if hidden else 1e-3)


# A batch in parts


def in_parts(gan, count, parts, fields):
    return trainer(small(gan, **fields, train__accumulate_steps=parts), count)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "parts"), [(1, 2), (1, 4), (4, 2)])
@pytest.mark.parametrize("gan", GANS)
def test_parts_equal_the_whole(gan, count, parts, either):
    train = in_parts(gan, count, parts, PLAIN[gan])
    for before, whole in reference(gan, PLAIN[gan]).values():
        assert largest_difference(whole, train(before)) < 1e-9


@pytest.mark.parametrize("gan", GANS)
def test_two_parts_on_two_devices_equal_the_whole_on_one(gan, either):
    train = in_parts(gan, 2, 2, PLAIN[gan])
    for before, whole in reference(gan, PLAIN[gan]).values():
        assert largest_difference(whole, train(before)) < 1e-9


def test_batch_norm_normalises_each_part_and_moves_its_statistics_once_for_it(either):
    fields, far = WITH_BATCH_NORM["wgan"], 1e12
    before, (whole, _) = reference("wgan", fields)["sgd"]
    # So far that what is left after m of its moves is 0.9^m of it.
    moved = before.replace(
        generator=before.generator.replace(batch_stats=filled(before.generator, far)),
        critic=before.critic.replace(batch_stats=filled(before.critic, far)),
    )
    after, _ = in_parts("wgan", 1, 2, fields)(moved)
    assert largest_difference(whole.generator.params, after.generator.params) > 1e-4
    # The critic's statistics move for real and for fake, in each of two turns a step.
    for network, moves in ((after.generator, 1), (after.critic, 4)):
        for left in leaves_of(network.batch_stats):
            np.testing.assert_allclose(left, far * 0.9 ** (2 * moves * STEPS), 1e-3)


@pytest.mark.parametrize(
    "gan",
    ["wgan", *(pytest.param(g, marks=pytest.mark.slow) for g in GANS[1:])],
)
def test_parts_with_batch_norm_are_the_same_on_any_number_of_devices(gan, either):
    """Each part has the same examples, wherever they are."""
    fields = WITH_BATCH_NORM[gan]
    state, _ = reference(gan, fields)["sgd"]
    one = in_parts(gan, 1, 2, fields)(state)
    for count in (2, 4):
        assert largest_difference(one, in_parts(gan, count, 2, fields)(state)) < 1e-9


def filled(network, value):
    return jax.tree.map(lambda x: np.full_like(x, value), network.batch_stats)


# The matrix


ALONE = {"networks": "tiny_generator_norm"}
NORMS = WITH_BATCH_NORM["cyclegan"]
NO_CRITIC_NORM = {"generator__norm": "batch", "critic__norm": "none"}
MATRIX = {
    "wgan": ("wgan", {"networks": "mlp"}),
    "wgan-norm": ("wgan", WITH_BATCH_NORM["wgan"]),
    "wgan-before": ("wgan", WITH_BATCH_NORM["wgan"] | {"gan__clip_order": "before"}),
    "wgan-uniform": ("wgan", {"networks": "mlp", "gan__latent": "uniform"}),
    "wgan_gp-mlp": ("wgan_gp", {"networks": "mlp"}),
    **{f"cyclegan-{n}": ("cyclegan", NORMS | {"gan__adversarial": n})
       for n in ("lsgan", "vanilla", "wasserstein")},
    **{f"cyclegan-{n}": ("cyclegan", {"generator__norm": n, "critic__norm": n})
       for n in ("instance", "none")},
    "cyclegan-no-pool": ("cyclegan", NORMS | {"gan__pool_size": 0}),
}  # fmt: skip
for _name, _options in PENALTIES.items():
    _fields = {f"gan__{field}": value for field, value in _options.items()}
    _conditional = WITH_BATCH_NORM["wgan_gp"]
    _cyclegan = NO_CRITIC_NORM | {"gan__adversarial": "wgan_gp"}
    MATRIX |= {
        f"wgan_gp-{_name}": ("wgan_gp", ALONE | _fields),
        f"wgan_gp-conditional-{_name}": ("wgan_gp", _conditional | _fields),
        f"cyclegan-{_name}": ("cyclegan", _cyclegan | _fields),
    }
PATCH = {"critic__name": "patch"}
FAMILIES = {
    "wgan-dcgan": ("wgan", {"networks": "dcgan"}),
    "wgan-dcgan_5x5": ("wgan", {"networks": "dcgan_5x5"}),
    "wgan-resnet32": ("wgan", {"networks": "resnet32"}),
    "wgan_gp-dcgan_5x5": ("wgan_gp", {"networks": "dcgan_5x5_layer"}),
    "wgan_gp-resnet32": ("wgan_gp", {"networks": "resnet32"}),
    "wgan_gp-resnet32-conditional": (
        "wgan_gp",
        {"networks": "resnet32", "gan__conditional": True},
    ),
    "resnet-batch": ("cyclegan", NORMS | PATCH),
    # Norms of four pixels would blow rounding up a thousandfold a step.
    "resnet-instance": (
        "cyclegan",
        PATCH
        | {"generator__norm": "instance", "critic__norm": "instance"}
        | {"data__image_size": 16, "speed": 0.05},
    ),
    # The smallest U-Net that drops out.
    "unet-batch": (
        "cyclegan",
        NORMS | PATCH | {"generator__name": "unet_64", "data__image_size": 64},
    ),
}


LARGE = {"wgan_gp-resnet64": ("wgan_gp", {"networks": "resnet64"})}  # to train here


@pytest.mark.parametrize("case", FAMILIES | LARGE)
def test_all_devices_have_the_same_state_of_every_network(case, plain_convolutions):
    gan, fields = (FAMILIES | LARGE)[case]
    replicated(gan, **fields)


def statistics_of_each_device(monkeypatch):
    batch_norm = layers.batch_norm

    def apart(train, axis_name, **options):
        return batch_norm(train, axis_name=None, **options)

    monkeypatch.setattr(layers, "batch_norm", apart)


def test_batch_norm_of_each_device_is_caught(plain_convolutions, monkeypatch):
    statistics_of_each_device(monkeypatch)
    with pytest.raises(ValueError, match="vmap has mapped output"):
        replicated("wgan", networks="resnet32")


def assert_eight_equal_one(config, rounding=()):
    """`rounding` are the ends of names of leaves that rounding errors may move."""
    before = drawn_state(gan_of(config))
    one, eight = (leaves(trainer(config, count)(before)) for count in (1, 8))
    jax.clear_caches()  # hundreds of programs at once end in a segmentation fault
    assert one.keys() == eight.keys()
    for name in one:
        bound = 1e-6 if name.endswith(rounding) else 1e-9
        assert np.max(np.abs(one[name] - eight[name]), initial=0) < bound, name
    old, new = leaves(before.generator.params), leaves(before.critic.params)
    for player, params in (("generator", old), ("critic", new)):
        for name in params:
            if "kernel" in name:
                now = one[f"[0].{player}.params{name}"]
                assert np.max(np.abs(now - params[name])) > 1e-5, name
                assert np.all(np.abs(now) < 1e3), name


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case, optimizer, tiny):
    gan, fields = MATRIX[case]
    assert_eight_equal_one(small(gan, optimizer, **fields))


@pytest.mark.slow
@pytest.mark.parametrize("gan", GANS)
def test_rmsprop(gan, tiny):
    assert_eight_equal_one(small(gan, "rmsprop", **DEFAULT[gan]))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", FAMILIES)
def test_families_of_networks(case, optimizer):
    """A bias before a norm has no gradient but rounding errors, which move it by Adam.

    The running mean follows it; nothing else does.
    """
    gan, fields = FAMILIES[case]
    rounding = ("['bias']", "['mean']") if optimizer == "adam" else ()
    assert_eight_equal_one(small(gan, optimizer, **fields), rounding)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("gan", GANS)
def test_other_numbers_of_devices_equal_one(gan, count, either):
    train = trainer(small(gan, **DEFAULT[gan]), count)
    for before, one in reference(gan, DEFAULT[gan]).values():
        assert largest_difference(one, train(before)) < 1e-9
