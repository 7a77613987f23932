"""Examples on the devices: the same batches, and the same training, to the byte."""

from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import copy_to_host
from helpers.devices import KEY, first_state, gan_of, small, use_tiny_networks

from jaxgan import data
from jaxgan.data import ArraySource, Pair, PairPlan, Plan
from jaxgan.data.cache import PackedImages
from jaxgan.runtime import devices
from jaxgan.runtime.device_data import DeviceData, gather_crops, gather_examples

CALLS = [range(2, 5), range(5, 8)]
rng = np.random.default_rng(0)


def packed(shapes):
    """Return random images of these shapes."""
    total = sum(h * w * c for h, w, c in shapes)
    return PackedImages(rng.integers(0, 256, total, np.uint8), shapes)


def made_on_device(device_data, plans):
    """Return what the devices make of plans, as numpy arrays."""
    arrays = jax.device_put(device_data.arrays)
    gather = jax.jit(device_data.gather)
    return [jax.device_get(gather(arrays, plan)) for plan in plans]


def assert_same_batches(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, leaf in other.items():
            assert one[name].dtype == leaf.dtype
            np.testing.assert_array_equal(one[name], leaf)


def of_examples(source):
    return DeviceData({"image": source.images, "label": source.labels}, gather_examples)


def of_pair(pair):
    sources = {"a": pair.train_a, "b": pair.train_b}
    depth = pair.shape[2]
    arrays = {name: each.pixels.reshape(-1, depth) for name, each in sources.items()}
    return DeviceData(arrays, partial(gather_crops, size=pair.shape[0]))


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
@pytest.mark.parametrize(
    "examples",
    [
        rng.integers(0, 256, (21, 3, 4, 1), np.uint8),
        rng.normal(size=(21, 2)).astype(np.float32),
    ],
    ids=["images", "points"],
)
def test_examples_are_those_that_the_host_gathers(examples, share):
    source = ArraySource(examples, np.arange(21))
    plan = Plan(21, 4, seed=1, n_critic=3)
    process = {"process_index": share[0], "process_count": share[1]}
    plans = list(data.index_batches(plan, CALLS, **process))
    assert plans[0]["index"].dtype == np.int32
    found = made_on_device(of_examples(source), plans)
    assert_same_batches(found, data.batches(source, plan, CALLS, **process))


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
@pytest.mark.parametrize("depth", [1, 3])
def test_crops_of_images_of_any_sizes_are_those_that_the_host_cuts(depth, share):
    """Some are exactly as large as the crop; some are long, some are high."""
    sizes_a, sizes_b = [(5, 5), (5, 17), (16, 6), (7, 9)], [(8, 8), (6, 5), (5, 5)]
    a, b = (packed([(*size, depth) for size in each]) for each in (sizes_a, sizes_b))
    pair = Pair(a, b, a, b, truth=False, shape=(5, 5, depth))
    plan = PairPlan(4, 3, 8, seed=2)
    process = {"process_index": share[0], "process_count": share[1]}
    plans = list(data.crop_batches(pair, plan, CALLS, **process))
    assert {leaf.dtype for each in plans for leaf in each.values()} == {np.dtype("i4")}
    assert {0, 1} == set(plans[0]["a"][..., 2].flat)
    found = made_on_device(of_pair(pair), plans)
    assert_same_batches(found, data.pair_batches(pair, plan, CALLS, **process))


def test_places_of_pixels_far_into_a_set_do_not_overflow():
    """The draws fill 31 bits, and so do the numbers of pixels."""
    side = 16_384
    shapes = [(side, side, 1)] * 8  # 2**31 pixels, of which none is allocated
    source = PackedImages(np.empty(0, np.uint8), shapes)
    pair = Pair(source, source, source, source, truth=False, shape=(2, 2, 1))
    plan = PairPlan(8, 8, 64, seed=0)
    (batch,) = data.crop_batches(pair, plan, [range(5, 6)])
    first, width, flip = np.moveaxis(batch["a"][0, 0].astype(np.int64), -1, 0)
    for row, (index, top, left, mirrored) in enumerate(
        plan.examples(5)[:, :4].tolist()
    ):
        top, left = (draw * (side - 1) // 2**31 for draw in (top, left))
        assert first[row] == (index * side + top) * side + left
        assert (width[row], flip[row]) == (side, mirrored)
    assert first.max() > 2**30


@pytest.fixture
def pair():
    """Two domains of images of several sizes, of which 8x8 pixels are cut."""
    a, b = packed([(9, 12, 1), (8, 8, 1), (13, 9, 1)]), packed([(10, 9, 1)] * 2)
    return Pair(a, b, a, b, truth=False, shape=(8, 8, 1))


def train(gan, state, used, batches, kept=None):
    """Return the state after training on batches, and all metrics, as numpy arrays."""
    steps = devices.compile_steps(gan, used, kept)
    state, metrics = devices.replicate(state, used), []
    for batch in batches:
        state, of_call = steps(state, batch, KEY)
        metrics.append(jax.device_get(of_call))
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *metrics)
    return copy_to_host(state), joined


def assert_same_bytes(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        assert one.tobytes() == other.tobytes()


WHOLE, SINGLE = [range(3), range(3, 6)], [range(step, step + 1) for step in range(6)]


@pytest.mark.parametrize("count", [1, 4])
def test_compiled_steps_make_their_batches(pair, count):
    """The step here is one layer, which is quick to compile."""
    used = jax.devices()[:count]
    axis = devices.axis_name(used)

    def loss(kernel, batch):
        scores = [jax.nn.tanh(batch[n].reshape(-1, 64) / 99.0 @ kernel) for n in "ab"]
        return (scores[0] - scores[1]).mean()

    def train_step(kernel, batch, key):
        value, gradient = jax.value_and_grad(loss)(kernel, batch)
        if axis:
            value, gradient = jax.lax.pmean((value, gradient), axis)
        return kernel - gradient, {"loss": value}

    gan = SimpleNamespace(train_step=train_step)
    kernel = rng.normal(size=(64, 3)).astype(np.float32)
    plan = PairPlan(3, 2, 8, seed=0)
    expected = train(gan, kernel, used, data.pair_batches(pair, plan, WHOLE))
    assert len(np.unique(expected[1]["loss"])) == 6
    for calls in (WHOLE, SINGLE):
        plans = data.crop_batches(pair, plan, calls)
        assert_same_bytes(train(gan, kernel, used, plans, of_pair(pair)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", ["wgan_gp", "cyclegan"])
def test_training_gives_the_same_bytes(
    name, count, pair, monkeypatch, plain_convolutions
):
    """WGAN-GP with classes, and CycleGAN, in float32; the device takes single steps."""
    use_tiny_networks(monkeypatch)
    if name == "cyclegan":
        config, plan = small("cyclegan"), PairPlan(3, 2, 8, seed=0)
        kept, batches = of_pair(pair), partial(data.pair_batches, pair)
        plans = partial(data.crop_batches, pair)
    else:
        config = small("wgan_gp", networks="tiny", gan__conditional=True)
        plan = Plan(30, 16, seed=0, n_critic=2)
        images = rng.integers(0, 256, (30, 4, 4, 1), np.uint8)
        source = ArraySource(images, rng.integers(0, 3, 30))
        kept, batches = of_examples(source), partial(data.batches, source)
        plans = data.index_batches
    used = jax.devices()[:count]
    gan = gan_of(config, devices.axis_name(used))
    run = partial(train, gan, first_state(config), used)
    expected = run(batches(plan, WHOLE))
    assert int(expected[0].step) == 6
    assert_same_bytes(run(plans(plan, SINGLE), kept), expected)
