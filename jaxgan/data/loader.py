"""Batches of the training loop, made from a plan and a source of examples."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np

from jaxgan.data import sources, transforms
from jaxgan.data.cache import PackedImages
from jaxgan.data.pairs import Pair
from jaxgan.data.plan import PairPlan, Plan
from jaxgan.data.sources import ArraySource, Source
from jaxgan.errors import UserError

Batch = dict[str, np.ndarray]

# When a set is streamed, this many threads read a batch each, and this many batches are
# kept ready. Threads are enough, because PIL decodes and files are read without holding
# Python's global lock. Each thread reads a complete batch: for MNIST, reading one
# example at a time costs a hundred times more, in locks.
READ_THREADS, READ_AHEAD = 16, 16


def batches(
    source: Source,
    plan: Plan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield the critic batches for each call of the compiled training function.

    A set in memory is gathered with numpy, any other set is streamed through grain; the
    bytes are the same. No example that comes before the first call is read.

    Args:
      source: the training examples.
      plan: says which examples make up a step.
      calls: the steps of each call, range(step, step + k). A call begins where the
        previous one ended, and all its steps have the same number n of critic steps.
      process_index, process_count: select the slice of the batch axis that belongs to
        this process. The slices of all processes, joined in order, are the global
        batch.

    Yields:
      {'image': [k, n, b, *shape], 'label': int32 [k, n, b]} with b = batch_size /
      process_count.

    Raises:
      ValueError: the batch size is not a multiple of the number of processes, the plan
        is for another number of examples, or the calls are not as described.
      UserError: a streamed file is not an image.
    """
    if len(source) != plan.num_examples:
        raise ValueError(f"{len(source)} examples, {plan.num_examples} in the plan")
    rows = _process_rows(plan.batch_size, process_index, process_count)
    if isinstance(source, ArraySource):
        for call in _check_calls(plan, calls):
            examples = np.stack([plan.examples(step)[:, rows] for step in call])
            yield source.gather(examples)
        return

    def read_batch(batch: int) -> Batch:
        positions = batch * plan.batch_size + np.arange(rows.start, rows.stop)
        return _stack(sources.read_examples(source, plan.stream(positions).tolist()))

    yield from _stream_batches(read_batch, plan, calls)


def index_batches(
    plan: Plan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield what a device needs to make the batches of `batches` from the whole set.

    The arguments are those of `batches`.

    Yields:
      {'index': int32 [k, n, b]}, the indices of the examples.
    """
    rows = _process_rows(plan.batch_size, process_index, process_count)
    for call in _check_calls(plan, calls):
        yield {"index": np.stack([plan.examples(step)[:, rows] for step in call])}


def pair_batches(
    pair: Pair,
    plan: PairPlan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield the batches of two domains, cropped and flipped, for each call.

    Images in memory or in a mapped file are cropped directly, others are read through
    grain; the bytes are the same.

    Args:
      pair: the two domains.
      plan: says which images make up a step, how they are cropped, and which are
        flipped.
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
    rows = _process_rows(plan.batch_size, process_index, process_count)

    def read_batch(step: int) -> Batch:
        examples = plan.examples(step)[rows].tolist()
        batch = {}
        # Columns 0 to 3 of the plan's examples belong to domain a, 4 to 7 to domain b.
        for key, source, first in (("a", pair.train_a, 0), ("b", pair.train_b, 4)):
            batch[key] = np.empty((len(examples), *pair.shape), np.uint8)
            for row, example in enumerate(examples):
                index, top, left, flip = example[first : first + 4]
                image = source[index]["image"]
                size = pair.shape[0]
                batch[key][row] = transforms.crop_and_flip(image, top, left, flip, size)
        return batch

    sources_ab = pair.train_a, pair.train_b
    if all(isinstance(source, PackedImages) for source in sources_ab):
        for call in _check_calls(plan, calls):
            yield _stack([_stack([read_batch(step)]) for step in call])
    else:
        yield from _stream_batches(read_batch, plan, calls)


def crop_batches(
    pair: Pair,
    plan: PairPlan,
    calls: Iterable[range],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yield what a device needs to make the batches of `pair_batches` from all pixels.

    The arguments are those of `pair_batches`. The images of domain a are in one array
    [pixels, c], row by row, one image after another; those of b are in another.

    Args:
      pair: two domains of `PackedImages`.

    Yields:
      {'a': int32 [k, 1, b, 3], 'b': the same}: the number of a crop's first pixel in
      the array, the image's width, and 1 to mirror the crop or 0.
    """
    rows = _process_rows(plan.batch_size, process_index, process_count)
    size = pair.shape[0]
    domains = []
    for source in (pair.train_a, pair.train_b):
        heights, widths, _ = np.array(cast(PackedImages, source).shapes, np.int64).T
        sizes = heights * widths
        domains.append((heights, widths, np.cumsum(sizes) - sizes))
    for call in _check_calls(plan, calls):
        examples = np.stack([plan.examples(step)[rows] for step in call])
        batch = {}
        # As in `pair_batches`; in int64, because the draws are as large as int32 goes.
        for key, domain, first in zip("ab", domains, (0, 4), strict=True):
            columns = np.moveaxis(examples[..., first : first + 4], -1, 0)
            index, top, left, flip = columns.astype(np.int64)
            height, width, start = (each[index] for each in domain)
            top = transforms.crop_start(top, height, size)
            left = transforms.crop_start(left, width, size)
            crops = np.stack([start + top * width + left, width, flip], axis=-1)
            batch[key] = crops[:, None].astype(np.int32)
        yield batch


def _process_rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """Return the rows of the global batch that belong to one process."""
    if batch_size % process_count:
        raise ValueError(f"batch {batch_size} over {process_count} processes")
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _check_calls(plan: Plan | PairPlan, calls: Iterable[range]) -> Iterator[range]:
    """Yield the calls; raises ValueError for one that is not as `batches` wants it."""
    stop = None
    for call in calls:
        if stop not in (None, call.start) or call.step != 1:
            raise ValueError(f"{call} does not begin at {stop}")
        if len({plan.critic_steps(step) for step in call}) != 1:
            raise ValueError(f"steps of {call} differ in their number of critic steps")
        yield call
        stop = call.stop


def _stream_batches(
    read_batch: Callable[[int], Batch], plan: Plan | PairPlan, calls: Iterable[range]
) -> Iterator[Batch]:
    """Yield the batches of each call; threads read ahead with read_batch(index)."""
    grain = _import_grain()
    calls = _check_calls(plan, calls)
    first = next(calls, None)
    if first is None:
        return
    start = plan.batches_before(first.start)
    endless = 2**62
    dataset = grain.MapDataset.range(start, endless).map(read_batch)
    options = grain.ReadOptions(READ_THREADS, READ_AHEAD)
    stream = iter(dataset.to_iter_dataset(options))
    try:
        for call in itertools.chain([first], calls):
            n = plan.critic_steps(call.start)
            yield _stack([_stack(list(itertools.islice(stream, n))) for _ in call])
    finally:
        stream.close()


def _stack(parts: list[Batch]) -> Batch:
    return {key: np.stack([part[key] for part in parts]) for key in parts[0]}


def _import_grain() -> Any:
    try:
        import grain
    except ImportError as error:
        raise UserError(
            "data.cache: a set that is streamed needs grain (pip install grain); "
            "data.cache=memory does without"
        ) from error
    return grain
