"""The plan: which examples make up a step."""

import itertools

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import PairPlan, Plan
from jaxgan.data.plan import DRAWS


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
    # Golden numbers: a change of numpy or of this code that reorders data is noticed.
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


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan(103, 8, 0, n_critic=5), "five critic steps"),
        (Plan(96, 8, 0), "batches that divide the set"),
        (Plan(5, 32, 0), "batches larger than the set"),
        (Plan(1000, 4, 0, n_critic=5, critic_start=True), "the start schedule"),
        (PairPlan(103, 96, 8, 0), "a pair"),
    ],
)
def test_steps_of_epochs(plan, name):
    for epochs in range(4):
        step = plan.steps(epochs)
        needed = epochs * plan.num_examples
        assert plan.batches_before(step) * plan.batch_size >= needed
        if step:
            assert plan.batches_before(step - 1) * plan.batch_size < needed


def test_steps_of_known_epochs():
    assert Plan(60000, 64, 0).steps(1) == 938  # 937.5 batches
    assert Plan(60000, 64, 0, n_critic=5).steps(2) == 375
    # 25 steps of 100 batches of 64 are 160,000 examples; then 5 batches a step.
    assert Plan(160_320, 64, 0, n_critic=5, critic_start=True).steps(1) == 26
    # The official code on horse2zebra: 1,334 iterations per epoch, 266,800 in 200.
    assert PairPlan(1067, 1334, 1, 0).steps(200) == 266_800


# pairs


def draws(plan, steps):
    return np.concatenate([plan.examples(step) for step in range(steps)])


@pytest.mark.parametrize(("num_a", "num_b"), [(7, 20), (20, 7), (5, 5), (1, 3), (3, 1)])
def test_domain_a_comes_in_permutations(num_a, num_b):
    plan = PairPlan(num_a, num_b, 4, seed=2)
    length = max(num_a, num_b)
    assert plan.num_examples == length
    indices = draws(plan, 4 * length)[:, 0]
    epochs = indices[: len(indices) // length * length].reshape(-1, length)
    assert len(epochs) == 16
    expected = np.sort(np.arange(length) % num_a)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), expected)
    if min(num_a, num_b) > 1:
        assert len({tuple(epoch) for epoch in epochs}) == 16


def test_domain_b_is_uniform_and_independent_of_a():
    plan = PairPlan(4, 5, 20, seed=0)
    found = draws(plan, 1000)
    table = np.zeros((4, 5), int)
    np.add.at(table, (found[:, 0], found[:, 4]), 1)
    # Of max(4, 5) = 5 positions, 0 and 4 show image 0 of domain a.
    expected = 20_000 * np.outer([2, 1, 1, 1], np.ones(5)) / 25
    chi_square = np.sum((table - expected) ** 2 / expected)
    # 3 of 4 rows' sums are fixed by the permutations: 16 degrees of freedom, of which
    # the 99.9 % point is 39.3.
    assert chi_square < 39.3
    # And it does not come in permutations, as domain a does.
    epochs = found[:, 4].reshape(-1, 5)
    complete = np.mean([len(set(epoch)) == 5 for epoch in epochs.tolist()])
    assert complete == pytest.approx(120 / 5**5, abs=0.01)


def test_places_and_flips_are_uniform_and_independent():
    found = draws(PairPlan(4, 5, 50, seed=1), 400)
    num = len(found)
    assert found[:, [1, 2, 5, 6]].min() >= 0
    assert set(np.unique(found[:, [3, 7]])) == {0, 1}
    for column in (1, 2, 5, 6):
        places = (
            found[:, column].astype(np.int64) * 31 // DRAWS
        )  # 286 - 256 + 1 places, as in the official code
        counts = np.bincount(places, minlength=31)
        assert len(counts) == 31
        chi_square = np.sum((counts - num / 31) ** 2) / (num / 31)
        assert chi_square < 59.7  # 99.9 % point of 30 degrees of freedom
    for column in (3, 7):
        assert found[:, column].mean() == pytest.approx(0.5, abs=4 * 0.5 / num**0.5)
    correlations = np.corrcoef(found.T) - np.eye(8)
    assert np.abs(correlations).max() < 4 / num**0.5


def test_draws_of_a_pair_are_a_pure_function_of_seed_and_step():
    forwards = [PairPlan(9, 8, 4, 7).examples(step) for step in range(20)]
    for step in reversed(range(20)):
        found = PairPlan(9, 8, 4, 7).examples(step)
        assert found.dtype == np.int32
        assert found.shape == (4, 8)
        np.testing.assert_array_equal(found, forwards[step])
    every = np.concatenate(forwards)[:, 1:3]
    assert len(np.unique(every, axis=0)) == 80  # all draws differ
    others = PairPlan(9, 8, 4, 8).examples(0)
    assert not np.array_equal(others, forwards[0])


def test_without_flips_all_else_stays():
    found = PairPlan(9, 8, 16, 7).examples(3)
    still = PairPlan(9, 8, 16, 7, flip=False).examples(3)
    assert found[:, [3, 7]].any()
    assert not still[:, [3, 7]].any()
    found[:, [3, 7]] = 0
    np.testing.assert_array_equal(still, found)


def test_the_first_draws_of_a_known_pair():
    # Golden numbers: a change of numpy or of this code that reorders data is noticed.
    golden = [
        [9, 2077960003, 1114529561, 0, 2, 1786521091, 1391875232, 1],
        [0, 299514221, 473351831, 0, 5, 961215453, 2103599914, 0],
        [8, 1773932047, 1865869659, 1, 2, 1490500067, 389711814, 0],
    ]
    assert PairPlan(10, 7, 3, seed=0).examples(2).tolist() == golden


# Calls of the compiled function


@pytest.mark.parametrize("critic_start", [False, True])
@pytest.mark.parametrize("intervals", [(50, 500, 0), (1,), (7, 0, 20), (33, 50, 1000)])
def test_calls_end_where_something_is_due(critic_start, intervals):
    plan = Plan(100, 4, 0, n_critic=5, critic_start=critic_start)
    length = data.call_length(intervals, 10)
    for start in (0, 3, 500):
        calls = list(data.calls(plan, length, start, 1007, intervals))
        assert [s for call in calls for s in call] == list(range(start, 1007))
        ends = {call.stop for call in calls}
        due = {s for s in range(start + 1, 1007) for n in intervals if n and s % n == 0}
        assert due <= ends
        # Each pair is a program to compile.
        programs = {(len(call), plan.critic_steps(call.start)) for call in calls}
        assert programs <= {(length, 5), (1, 5), (1, 100)}
        for call in calls:
            assert len({plan.critic_steps(step) for step in call}) == 1


def test_calls_of_pairs_are_as_long_as_they_can_be():
    plan = PairPlan(7, 9, 1, seed=0)
    assert list(data.calls(plan, 5, 3, 24, (10,))) == [
        range(3, 8), range(8, 9), range(9, 10), range(10, 15), range(15, 20),
        range(20, 21), range(21, 22), range(22, 23), range(23, 24),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "most", "length"),
    [
        ((50, 500, 500), 10, 10),
        ((50, 500), 1, 1),
        ((1, 500), 10, 1),
        ((7,), 10, 7),
        ((25,), 10, 5),  # 5 calls; 3 of 8 and a single step would be two programs
        ((101,), 10, 10),  # 10 calls and a single step, not 101 single steps
        ((13,), 10, 6),
        ((0, 50, 20), 30, 20),  # the shortest interval decides
        ((2_000_000_000,), 1000, 1000),
    ],
)
def test_the_length_of_a_call_makes_few_calls(intervals, most, length):
    assert data.call_length(intervals, most) == length
