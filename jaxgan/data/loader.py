"""From a plan and a source to the batches of the training loop."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from jaxgan.data import sources, transforms
from jaxgan.data.cache import Packed
from jaxgan.data.pairs import Pair
from jaxgan.data.plan import PairPlan, Plan
from jaxgan.data.sources import ArraySource, Source
from jaxgan.errors import UserError

Batch = dict[str, np.ndarray]

# Batches read at the same time, and kept ready, when a set is streamed. Threads do, as
# PIL decodes and files are read without holding Python's lock. A thread reads a whole
# batch: one example at a time costs a hundred times more, in locks, for MNIST.
READ_THREADS, READ_AHEAD = 16, 16


def batches(
    source: Source,
    plan: Plan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield the critic batches of one call of the training step after another.

    A set in memory is gathered with numpy, another one streamed through grain: the same
    bytes. Nothing is read of what comes before the first call.

    Args:
      source: the training examples.
      plan: says which of them make up a step.
      calls: the steps of each call, range(step, step + k), each call beginning where
        the one before ended, all steps of a call with the same number n of critic
        steps.
      process_index, process_count: this process's slice of the batch axis, so that all
        processes' batches, one after another, are the global batch.

    Yields:
      {'image': [k, n, b, *shape], 'label': int32 [k, n, b]} with b = batch_size /
      process_count.

    Raises:
      ValueError: the batch does not divide among the processes, or calls that are not
        as above.
      UserError: a streamed file is no image.
    """
    if len(source) != plan.num_examples:
        raise ValueError(f"{len(source)} examples, {plan.num_examples} in the plan")
    rows = _rows(plan.batch_size, process_index, process_count)
    if isinstance(source, ArraySource):
        for call in _checked(plan, calls):
            examples = np.stack([plan.examples(step)[:, rows] for step in call])
            yield source.gather(examples)
        return

    def read_batch(batch: int) -> Batch:
        positions = batch * plan.batch_size + np.arange(rows.start, rows.stop)
        return _stack(sources.read(source, plan.stream(positions).tolist()))

    yield from _streamed(read_batch, plan, calls)


def pair_batches(
    pair: Pair,
    plan: PairPlan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield the batches of two domains, cut and flipped, call after call.

    Kept images are cut where they lie, others are read through grain: the same bytes.

    Args:
      pair: the two domains.
      plan: which examples make up a step, where they are cut and which are flipped.
      calls, process_index, process_count: as in `batches`.

    Yields:
      {'a': uint8 [k, 1, b, h, w, c], 'b': the same} with (h, w, c) = pair.shape and
      b = batch_size / process_count.

    Raises:
      ValueError, UserError: as `batches` does.
    """
    sizes = len(pair.train_a), len(pair.train_b)
    if sizes != plan[:2]:
        raise ValueError(f"{sizes} examples, {plan[:2]} in the plan")
    rows = _rows(plan.batch_size, process_index, process_count)

    def read_batch(step: int) -> Batch:
        examples = plan.examples(step)[rows].tolist()
        batch = {}
        for key, source, first in (("a", pair.train_a, 0), ("b", pair.train_b, 4)):
            batch[key] = np.empty((len(examples), *pair.shape), np.uint8)
            for row, example in enumerate(examples):
                index, top, left, flip = example[first : first + 4]
                image = source[index]["image"]
                size = pair.shape[0]
                batch[key][row] = transforms.augment(image, top, left, flip, size)
        return batch

    if isinstance(pair.train_a, Packed) and isinstance(pair.train_b, Packed):
        for call in _checked(plan, calls):
            yield _stack([_stack([read_batch(step)]) for step in call])
    else:
        yield from _streamed(read_batch, plan, calls)


def _rows(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size % process_count:
        raise ValueError(f"batch {batch_size} over {process_count} processes")
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _checked(plan: Plan | PairPlan, calls: Iterable[range]) -> Iterator[range]:
    stop = None
    for call in calls:
        if stop not in (None, call.start) or call.step != 1:
            raise ValueError(f"{call} does not begin at {stop}")
        if len({plan.critic_steps(step) for step in call}) != 1:
            raise ValueError(f"steps of {call} differ in their number of critic steps")
        yield call
        stop = call.stop


def _streamed(
    read_batch: Callable[[int], Batch], plan: Plan | PairPlan, calls: Iterable[range]
) -> Iterator[Batch]:
    grain = _import_grain()
    calls = _checked(plan, calls)
    first = next(calls, None)
    if first is None:
        return
    start = plan.batches_before(first.start)
    dataset = grain.MapDataset.range(start, 2**62).map(read_batch)  # without end
    options = grain.ReadOptions(READ_THREADS, READ_AHEAD)
    stream = iter(dataset.to_iter_dataset(options))
    try:
        for call in itertools.chain([first], calls):
            num_batches = plan.critic_steps(call.start)
            yield _stack(
                [_stack(list(itertools.islice(stream, num_batches))) for _ in call]
            )
    finally:
        stream.close()


def _stack(examples: list[Batch]) -> Batch:
    return {key: np.stack([one[key] for one in examples]) for key in examples[0]}


def _import_grain():
    try:
        import grain
    except ImportError as error:
        raise UserError(
            "data.cache: a set that is streamed needs grain (pip install grain); "
            "data.cache=memory does without"
        ) from error
    return grain
