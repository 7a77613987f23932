"""Timing of sides that take turns in one process, and the summary of their times."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MOST_BLOCKS, FEWEST_BLOCKS = 15, 3


class Side(NamedTuple):
    """One of those that are compared.

    Attributes:
        make_batch: () -> the batch for one call.
        run_call: trains on a batch; returns what `wait` waits for. It may return before
            the device is done.
        wait: returns when the call is done.
        steps_per_call: generator iterations in one call.
    """

    make_batch: Callable[[], Any]
    run_call: Callable[[Any], Any]
    wait: Callable[[Any], Any]
    steps_per_call: int


def block_ms(side: Side, iterations: int) -> float:
    """Return the mean time in ms of one iteration over a block of at least so many."""
    calls = -(-iterations // side.steps_per_call)
    start = time.perf_counter()
    for _ in range(calls):
        result = side.run_call(side.make_batch())
    side.wait(result)
    return (time.perf_counter() - start) * 1e3 / (calls * side.steps_per_call)


def host_ms(side: Side, calls: int) -> dict[str, float]:
    """Return the median ms per iteration that the host works for one call.

    The device is idle when each call begins, so that nothing is waited for: `batch_ms`
    is the time to make the batch, `dispatch_ms` that until the call returns.
    """
    batch, dispatch = [], []
    for _ in range(calls):
        start = time.perf_counter()
        made = side.make_batch()
        middle = time.perf_counter()
        result = side.run_call(made)
        end = time.perf_counter()
        side.wait(result)
        batch.append((middle - start) * 1e3 / side.steps_per_call)
        dispatch.append((end - middle) * 1e3 / side.steps_per_call)
    return {
        "batch_ms": statistics.median(batch),
        "dispatch_ms": statistics.median(dispatch),
    }


def choose_blocks(
    ms: dict[str, float], seconds: float, blocks: int, iterations: int
) -> tuple[int, int]:
    """Return how many blocks on each side, and iterations in a block, to measure.

    Args:
        ms: one iteration of each side.
        seconds: that all blocks may take, roughly.
        blocks, iterations: those that the user asked for; 0 to choose by `seconds`.

    A block begins and ends with an idle device, so it takes at least 0.3 seconds on the
    fastest side, unless there would be fewer than FEWEST_BLOCKS.
    """
    together = sum(ms.values()) / 1e3
    if not iterations:
        wanted = 0.3e3 / min(ms.values())
        most = seconds / (together * (blocks or FEWEST_BLOCKS))
        iterations = max(1, round(min(wanted, most)))
    if not blocks:
        fitting = round(seconds / (together * iterations))
        blocks = min(MOST_BLOCKS, max(FEWEST_BLOCKS, fitting))
    return blocks, iterations


def time_blocks(
    sides: dict[str, Side], blocks: int, iterations: int
) -> dict[str, list[float]]:
    """Return ms of an iteration by side, one number a block; the sides take turns.

    So other load on the machine slows all of them. The order is reversed every time,
    so that none is always the first.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for _ in range(blocks):
        for name, side in order:
            times[name].append(block_ms(side, iterations))
        order.reverse()
    return times


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return median and spread of each side, and the ratios of 'jaxgan' to the others.

    Args:
        times: ms of an iteration, one number a block; the blocks i of all sides ran
            one after another.

    Returns:
        For each side 'ms', 'ms_10' and 'ms_90' (the percentiles). For each peer also
        'ratio', that of the medians, jaxgan / peer, and 'ratio_10' and 'ratio_90', the
        percentiles of the ratios of the blocks.
    """
    result = {}
    for name, own in times.items():
        result[name] = {"ms": statistics.median(own), **percentiles("ms", own)}
        if name != "jaxgan":
            pairs = zip(times["jaxgan"], own, strict=True)
            ratios = [ours / theirs for ours, theirs in pairs]
            medians = statistics.median(times["jaxgan"]) / statistics.median(own)
            result[name] |= {"ratio": medians, **percentiles("ratio", ratios)}
    return result


def parser(about: str | None, blocks: int, iterations: int) -> argparse.ArgumentParser:
    """Return the flags of a benchmark whose docstring is `about`."""
    made = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    made.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    made.add_argument("--blocks", type=int, default=blocks, help="of each side")
    made.add_argument("--iterations", type=int, default=iterations, help="in one block")
    made.add_argument("--json", type=Path, help="also write the numbers there")
    return made


def write_json(path: Path | None, result: Any) -> None:
    """Write the numbers to a file, if one is asked for."""
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def percentiles(name: str, values: list[float]) -> dict[str, float]:
    """Return {'NAME_10', 'NAME_90'}: the 10th and 90th percentile of the values."""
    return {f"{name}_{p}": float(np.percentile(values, p)) for p in (10, 90)}


def limit_threads(threads: int) -> int:
    """Bind this process to `threads` CPUs, 0 for as it is; return their number.

    XLA has no such flag: it takes as many threads as the process may use CPUs, so
    this has to come before it starts.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if threads:
        os.sched_setaffinity(0, cpus[:threads])
    return len(os.sched_getaffinity(0))
