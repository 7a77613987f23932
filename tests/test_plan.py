"""The plan: which examples make up a step."""

import itertools

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import Plan


def test_critic_steps_with_the_start_schedule():
    plan = Plan(60000, 64, seed=0, n_critic=5, critic_start=True)
    steps = [plan.critic_steps(step) for step in range(1000)]
    # martinarjovsky/WassersteinGAN main.py l.176: 25*100 + 100 at step 500 + 974*5.
    assert sum(steps) == 7470
    assert [i for i in range(1000) if steps[i] == 100] == [*range(25), 500]
    assert plan.critic_steps(1000) == 100


@pytest.mark.parametrize("start", [False, True])
def test_batches_before_is_the_running_sum(start):
    plan = Plan(100, 7, seed=0, n_critic=5, critic_start=start)
    sums = itertools.accumulate(map(plan.critic_steps, range(2100)), initial=0)
    assert [plan.batches_before(step) for step in range(2101)] == list(sums)


@pytest.mark.parametrize(("num", "batch"), [(103, 8), (96, 8), (5, 32), (1, 3)])
def test_every_example_once_an_epoch(num, batch):
    plan = Plan(num, batch, seed=3, n_critic=5)
    steps = 2 + 4 * num // (5 * batch)
    stream = np.concatenate([plan.examples(step).ravel() for step in range(steps)])
    assert stream.dtype == np.int32
    epochs = stream[: len(stream) // num * num].reshape(-1, num)
    assert len(epochs) >= 4
    np.testing.assert_array_equal(
        np.sort(epochs, axis=1), np.tile(np.arange(num), (len(epochs), 1))
    )


def test_the_order_changes_with_the_epoch_and_the_seed():
    def epoch(seed, number):
        return tuple(Plan(100, 100, seed=seed).examples(number)[0])

    orders = {epoch(seed, number) for seed in range(3) for number in range(3)}
    assert len(orders) == 9


def test_examples_are_a_pure_function_of_seed_and_step():
    forwards = [Plan(50, 4, 7, 5).examples(step) for step in range(20)]
    for step in reversed(range(20)):
        plan = Plan(50, 4, 7, 5)
        np.testing.assert_array_equal(plan.examples(step), forwards[step])
        assert plan.examples(step).shape == (5, 4)


def test_the_first_examples_of_a_known_plan():
    # Golden: a change of numpy or of the code that reorders data must be noticed.
    golden = [[4, 6, 2, 7, 3], [5, 9, 0, 8, 1]]
    assert Plan(10, 5, seed=0, n_critic=2).examples(0).tolist() == golden


def test_five_critic_steps_see_five_different_batches():
    images = np.arange(1000, dtype=np.uint8).reshape(1000, 1, 1, 1)
    source = data.ArraySource(images, np.arange(1000))
    plan = Plan(1000, 16, seed=0, n_critic=5)
    (batch,) = data.batches(source, plan, [range(4)])
    assert batch["label"].shape == (4, 5, 16)
    for step in batch["label"]:
        assert len(np.unique(step)) == 5 * 16
