"""Which examples make up the batches of step k: a pure function of (seed, k).

Nothing here is kept between calls but a cache, so a resumed run goes on with the same
examples, and any process can work out any batch without what came before it.
"""

import bisect
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

START_STEPS, START_EVERY, START_CRITIC_STEPS = 25, 500, 100

# Draws of where to cut and whether to flip are integers in [0, DRAWS).
DRAWS = 2**31
# Behind the seed of the draws of a pair, so that they are not those of a permutation.
PAIR_DRAWS = 1


@functools.lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(np.arange(num_examples, dtype=np.int32))
    order.setflags(write=False)  # shared by all callers
    return order


class Plan(NamedTuple):
    """The order of the examples of a run.

    The critic's batches are cut one after another from an endless stream of examples:
    a fresh permutation of the set each epoch, so that every example comes exactly once
    an epoch. A batch may straddle two epochs; no example is dropped.

    Attributes:
      num_examples: size of the set, >= 1.
      batch_size: examples in one critic batch, over all processes.
      seed: >= 0.
      n_critic: critic steps for one generator step.
      critic_start: take 100 critic steps for each of the first 25 generator steps and
        for every 500th, as martinarjovsky/WassersteinGAN main.py l.176 does.
    """

    num_examples: int
    batch_size: int
    seed: int
    n_critic: int = 1
    critic_start: bool = False

    def critic_steps(self, step: int) -> int:
        """Return the number of critic steps (batches) of generator step `step`."""
        start = step < START_STEPS or step % START_EVERY == 0
        return START_CRITIC_STEPS if self.critic_start and start else self.n_critic

    def batches_before(self, step: int) -> int:
        """Return the number of critic batches of all steps before `step`."""
        if not self.critic_start:
            return step * self.n_critic
        # Steps 0 to 24, then 500, 1000, ...: those multiples of 500 in [1, step).
        long = min(step, START_STEPS) + max(0, (step - 1) // START_EVERY)
        return long * START_CRITIC_STEPS + (step - long) * self.n_critic

    def steps(self, epochs: int) -> int:
        """Return the first step before which all of so many epochs' examples came."""
        batches = -(-epochs * self.num_examples // self.batch_size)
        # A step has at least one batch.
        return bisect.bisect_left(range(batches), batches, key=self.batches_before)

    def stream(self, positions: np.ndarray) -> np.ndarray:
        """Return which examples stand at `positions` of the endless stream.

        Args:
          positions: non-negative integers of any shape.

        Returns:
          int32 of the same shape, in [0, num_examples).
        """
        epochs, offsets = np.divmod(positions, self.num_examples)
        examples = np.empty(np.shape(positions), np.int32)
        for epoch in range(int(epochs.min()), int(epochs.max()) + 1):
            order = _permutation(self.num_examples, self.seed, epoch)
            here = epochs == epoch
            examples[here] = order[offsets[here]]
        return examples

    def examples(self, step: int) -> np.ndarray:
        """Return the examples of `step`, int32 [critic_steps(step), batch_size]."""
        shape = self.critic_steps(step), self.batch_size
        first = self.batches_before(step) * self.batch_size
        return self.stream(first + np.arange(shape[0] * shape[1])).reshape(shape)


class PairPlan(NamedTuple):
    """The order of the examples of a run on two domains that are not paired.

    As upstream's unaligned_dataset.py: an epoch has max(num_a, num_b) examples; those
    of domain a come in a fresh permutation of that length, modulo num_a, and each goes
    with a uniform draw from domain b. Both are cut and flipped independently.

    Attributes:
      num_a, num_b: sizes of the two sets, >= 1.
      batch_size: examples of each domain in one batch, over all processes.
      seed: >= 0.
      flip: mirror an image left to right with probability 1/2.
    """

    num_a: int
    num_b: int
    batch_size: int
    seed: int
    flip: bool = True

    @property
    def num_examples(self) -> int:
        """Examples of an epoch."""
        return max(self.num_a, self.num_b)

    def critic_steps(self, step: int) -> int:
        """Return 1: every step has one batch."""
        return 1

    def batches_before(self, step: int) -> int:
        """Return the number of batches of all steps before `step`."""
        return step

    def steps(self, epochs: int) -> int:
        """Return the first step before which all of so many epochs' examples came."""
        return -(-epochs * self.num_examples // self.batch_size)

    def examples(self, step: int) -> np.ndarray:
        """Return what makes up the batch of `step`.

        Returns:
          int32 [batch_size, 8]: index, top, left and flip of domain a, then of domain
          b. The index is in [0, num_a) or [0, num_b); top and left, in [0, DRAWS), say
          where to cut as transforms.crop does, uniformly whatever the image's size;
          flip is 0 or 1.
        """
        examples = np.empty((self.batch_size, 8), np.int32)
        order = Plan(self.num_examples, self.batch_size, self.seed)
        generator = np.random.default_rng([self.seed, step, PAIR_DRAWS])
        high = [DRAWS, DRAWS, 2] * 2 + [self.num_b]
        draws = generator.integers(high, size=(self.batch_size, 7))
        examples[:, 0] = order.examples(step)[0] % self.num_a
        examples[:, 1:4] = draws[:, :3]
        examples[:, 4] = draws[:, 6]
        examples[:, 5:] = draws[:, 3:6]
        if not self.flip:
            examples[:, [3, 7]] = 0
        return examples


def calls(plan: Plan | PairPlan, size: int, start: int, stop: int) -> Iterator[range]:
    """Yield the steps of each call of the compiled function, from `start` to `stop`.

    A call has `size` steps, or one where those would cross a multiple of it or mix
    steps of different numbers of critic steps.
    """
    step = start
    while step < stop:
        call = range(step, step + size)
        whole = step % size == 0 and call.stop <= stop
        alike = whole and len({plan.critic_steps(s) for s in call}) == 1
        yield call if alike else range(step, step + 1)
        step += size if alike else 1
