"""Plans: which examples make up the batches of step k, a pure function of (seed, k).

No state is kept between calls except for a cache. So a resumed run continues with the
same examples, and any process can compute any batch without those before it.
"""

import bisect
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

# WGAN's schedule of critic steps (`Plan.critic_start`): the first 25 generator steps
# and every 500th later take 100 critic steps each, so that the critic comes close to
# its optimum at the start and is brought back there now and then. From the authors'
# code, martinarjovsky/WassersteinGAN, main.py l. 176:
# `if gen_iterations < 25 or gen_iterations % 500 == 0: Diters = 100`.
START_STEPS = 25
LONG_STEP_INTERVAL = 500
LONG_CRITIC_STEPS = 100

# Crop positions of a pair are drawn as integers in [0, DRAWS). Later they are scaled to
# the size of the image (`transforms.crop_and_flip`).
DRAWS = 2**31
# Third part of the seed of a pair's draws, after the run's seed and the step. It keeps
# them apart from the draws of the permutations, whose seed is (seed, epoch).
PAIR_DRAWS = 1


@functools.lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(np.arange(num_examples, dtype=np.int32))
    order.setflags(write=False)  # all callers share the cached array
    return order


class Plan(NamedTuple):
    """The order of the examples of a run on one data set.

    The examples form an endless stream: a new permutation of the set each epoch, so
    each example comes exactly once per epoch. The critic's batches are taken from the
    stream one after another. A batch may contain the end of one epoch and the beginning
    of the next; no example is dropped.

    Attributes:
      num_examples: number of examples of the set, >= 1.
      batch_size: number of examples of one critic batch, over all processes.
      seed: seed of the run, >= 0.
      n_critic: number of critic steps per generator step.
      critic_start: whether each of the first 25 generator steps and every 500th takes
        100 critic steps, as in the WGAN authors' code (see START_STEPS above).
    """

    num_examples: int
    batch_size: int
    seed: int
    n_critic: int = 1
    critic_start: bool = False

    def critic_steps(self, step: int) -> int:
        """Return the number of critic steps (batches) of generator step `step`."""
        long = step < START_STEPS or step % LONG_STEP_INTERVAL == 0
        return LONG_CRITIC_STEPS if self.critic_start and long else self.n_critic

    def batches_before(self, step: int) -> int:
        """Return the number of critic batches of all steps before `step`."""
        if not self.critic_start:
            return step * self.n_critic
        # Long steps before `step`: 0 to 24, and the multiples of 500 in [1, step).
        long = min(step, START_STEPS) + max(0, (step - 1) // LONG_STEP_INTERVAL)
        return long * LONG_CRITIC_STEPS + (step - long) * self.n_critic

    def steps(self, epochs: int) -> int:
        """Return the number of steps that `epochs` epochs take, rounded up."""
        batches = -(-epochs * self.num_examples // self.batch_size)
        # The number of steps is at most `batches`, as each step has at least one batch.
        return bisect.bisect_left(range(batches), batches, key=self.batches_before)

    def stream(self, positions: np.ndarray) -> np.ndarray:
        """Return the examples at `positions` of the endless stream.

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
        """Return the indices of a step's examples, [critic_steps(step), batch_size]."""
        shape = self.critic_steps(step), self.batch_size
        first = self.batches_before(step) * self.batch_size
        return self.stream(first + np.arange(shape[0] * shape[1])).reshape(shape)


class PairPlan(NamedTuple):
    """The order of the examples of a run on two domains that are not paired.

    As in the official code (junyanz/pytorch-CycleGAN-and-pix2pix,
    data/unaligned_dataset.py), an epoch has max(num_a, num_b) examples. The images of
    domain a come in a new permutation of that length, modulo num_a. Each is accompanied
    by a uniform draw from domain b. The two are cropped and flipped independently.

    Attributes:
      num_a, num_b: number of training images of the two domains, >= 1.
      batch_size: number of images of each domain in one batch, over all processes.
      seed: seed of the run, >= 0.
      flip: whether each image is mirrored left to right with probability 1/2.
    """

    num_a: int
    num_b: int
    batch_size: int
    seed: int
    flip: bool = True

    @property
    def num_examples(self) -> int:
        """Number of examples per epoch."""
        return max(self.num_a, self.num_b)

    @property
    def n_critic(self) -> int:
        """1: each step has one batch."""
        return 1

    def critic_steps(self, step: int) -> int:
        """Return 1: each step has one batch."""
        return self.n_critic

    def batches_before(self, step: int) -> int:
        """Return the number of batches of all steps before `step`."""
        return step

    def steps(self, epochs: int) -> int:
        """Return the number of steps that `epochs` epochs take, rounded up."""
        return -(-epochs * self.num_examples // self.batch_size)

    def examples(self, step: int) -> np.ndarray:
        """Return the images, crops and flips of the batch of `step`.

        Returns:
          int32 [batch_size, 8]: index, top, left and flip of domain a, then of domain
          b. The index is in [0, num_a) or [0, num_b). Top and left, in [0, DRAWS), are
          where to crop, as arguments of `transforms.crop_and_flip`. Flip is 0 or 1.
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


def call_length(intervals: Iterable[int], most: int) -> int:
    """Return how many steps a call of the compiled function has, where it can.

    It is the number, at most `most`, that divides the shortest of the `intervals` (0 is
    none) into the fewest calls. Steps that are left over are taken one by one, by
    another program; so these count as one call more.
    """
    interval = min(filter(None, intervals))

    def cost(length: int) -> tuple[int, int]:
        left = interval % length
        return interval // length + left + (left > 0), left

    return min(range(1, min(most, interval) + 1), key=cost)


def calls(
    plan: Plan | PairPlan,
    length: int,
    start: int,
    stop: int,
    intervals: Iterable[int] = (),
) -> Iterator[range]:
    """Yield the steps of each call of the compiled function, from `start` to `stop`.

    A call has `length` steps. Where that is not possible, it has one step: just before
    a multiple of one of the `intervals` (0 is none) and before the end, where a call
    must end, and where a step has another number of critic steps than `plan.n_critic`.
    So at most three programs are compiled.
    """
    every = [interval for interval in intervals if interval]
    step = start
    while step < stop:
        due = min([stop, *((step // n + 1) * n for n in every)])
        call = range(step, min(step + length, due))
        usual = all(plan.critic_steps(s) == plan.n_critic for s in call)
        if len(call) < length or not usual:
            call = range(step, step + 1)
        yield call
        step = call.stop
