"""The composition of turns, on a state small enough to follow by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import optim, turns
from jaxgan.gradients import Outcome
from jaxgan.types import GanState, Network

KEY = jax.random.key(0)
SGD = optim.optimizer(name="sgd", learning_rate=0.1, b1=0, b2=0, decay_steps=0)


def network(value):
    params = {"w": jnp.asarray(value)}
    return Network(params, {}, SGD.tx.init(params))


def state():
    return GanState(jnp.zeros((), jnp.int32), network(1.0), network(2.0))


def record(name):
    """A turn that notes its key and batch in the metrics and changes nothing."""

    def take(state, batch, key):
        noise = jax.random.uniform(key)
        return state, batch, {f"{name}/noise": noise, f"{name}/x": batch["x"]}

    return take


def test_turn_takes_one_step_down_the_loss_and_changes_only_its_player():
    def loss(params, state, batch, key):
        return params["w"] ** 2 * batch["x"], Outcome({}, {"value": params["w"]})

    take = turns.turn("critic", loss, SGD)
    after, batch, metrics = take(state(), {"x": 3.0}, KEY)
    assert after.critic.params["w"] == pytest.approx(2 - 0.1 * 2 * 2 * 3)
    assert after.generator.params["w"] == 1.0
    assert after.step == 0
    assert batch == {"x": 3.0}
    assert metrics["value"] == 2.0
    assert metrics["learning_rate/critic"] == pytest.approx(0.1)


def test_turn_follows_the_generators_step_for_the_critics_rate():
    fields = {"b1": 0, "b2": 0, "decay_steps": 100}
    decaying = optim.optimizer(name="sgd", learning_rate=2e-4, **fields)

    def loss(params, state, batch, key):
        return params["w"], Outcome({}, {})

    halfway = state().replace(step=jnp.array(50))
    _, _, metrics = turns.turn("critic", loss, decaying)(halfway, {}, KEY)
    assert metrics["learning_rate/critic"] == pytest.approx(1e-4)


def test_alternate_gives_each_critic_step_its_own_batch_and_key():
    step = turns.alternate(record("critic"), record("generator"))
    batch = {"x": jnp.arange(5.0)}
    _, _, metrics = step(state(), batch, KEY)
    np.testing.assert_array_equal(metrics["critic/x"], np.arange(5.0))
    assert metrics["generator/x"] == 4.0
    noises = [*metrics["critic/noise"].tolist(), float(metrics["generator/noise"])]
    assert len(set(noises)) == 6


def test_train_step_counts_and_folds_the_step_into_the_key():
    step = turns.as_train_step(turns.alternate(record("critic"), record("generator")))
    batch = {"x": jnp.ones((2, 1))}
    first, seen = step(state(), batch, KEY)
    second, later = step(first, batch, KEY)
    again, repeated = step(first, batch, KEY)
    assert (int(first.step), int(second.step), int(again.step)) == (1, 2, 2)
    assert seen["generator/noise"] != later["generator/noise"]
    assert later["generator/noise"] == repeated["generator/noise"]


def test_chain_merges_metrics_in_order():
    _, _, metrics = turns.chain(record("a"), record("b"))(state(), {"x": 1}, KEY)
    assert list(metrics) == ["a/noise", "a/x", "b/noise", "b/x"]


def test_clip_weights_bounds_every_leaf_and_counts_those_at_the_bound():
    params = {"w": jnp.array([-3.0, 0.005, 0.01]), "scale": jnp.array([1.0])}
    before = state().replace(critic=Network(params, {}, ()))
    after, _, metrics = turns.clip_weights(0.01)(before, {}, KEY)
    np.testing.assert_allclose(after.critic.params["w"], [-0.01, 0.005, 0.01])
    np.testing.assert_allclose(after.critic.params["scale"], [0.01])
    assert metrics["critic/weights_at_clip"] == 0.75


def test_average_generator():
    before = state()
    average = {"params": {"w": jnp.array(0.0)}, "batch_stats": {}}
    before = before.replace(memory={"average": average})
    after, _, _ = turns.average_generator(0.9)(before, {}, KEY)
    assert after.memory["average"]["params"]["w"] == pytest.approx(0.1)
