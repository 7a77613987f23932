"""Timing of two sides that take turns in one process: what the benchmarks share."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
        make_batch: () -> the host's batch for one call.
        run_call: trains on a batch; returns what `wait` waits for.
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


def batch_ms(side: Side, calls: int) -> float:
    """Return the median time in ms of making one iteration's host batch by itself."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        side.make_batch()
        times.append((time.perf_counter() - start) * 1e3 / side.steps_per_call)
    return statistics.median(times)


def summary(jaxgan: list[float], torch: list[float], pipeline: float) -> dict[str, Any]:
    """Return the medians in ms, their ratio, and the pipeline's share of a step.

    Args:
        jaxgan: ms of an iteration, one number a block.
        torch: the same; block i ran right before or after jaxgan's block i.
        pipeline: ms of making the host's batch of one iteration of jaxgan.
    """
    ratios = [ours / theirs for ours, theirs in zip(jaxgan, torch, strict=True)]
    median = statistics.median(jaxgan)
    return {
        "jaxgan_ms": median,
        "torch_ms": statistics.median(torch),
        "ratio": median / statistics.median(torch),
        "ratio_10_percent": float(np.percentile(ratios, 10)),
        "ratio_90_percent": float(np.percentile(ratios, 90)),
        "pipeline_ms": pipeline,
        "pipeline_share": pipeline / median,
    }


def limit_threads(threads: int) -> int:
    """Bind this process to `threads` CPUs, 0 for as it is; return their number.

    XLA has no such flag: it takes as many threads as the process may use CPUs, so
    this has to come before it starts.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if threads:
        os.sched_setaffinity(0, cpus[:threads])
    return len(os.sched_getaffinity(0))


def parser(about: str | None, blocks: int, iterations: int) -> argparse.ArgumentParser:
    """Return the flags of a benchmark whose docstring is `about`."""
    made = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    made.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    made.add_argument("--blocks", type=int, default=blocks, help="on each side")
    made.add_argument("--iterations", type=int, default=iterations, help="in one block")
    made.add_argument("--json", type=Path, help="also write the numbers there")
    return made


def compare(ours: Side, theirs: Side, blocks: int, iterations: int) -> dict[str, Any]:
    """Time both sides, block by block in turns; returns `summary` and versions."""
    import jax
    import torch

    for side in (ours, theirs):
        block_ms(side, iterations)  # compiles, fills caches
    times: dict[str, list[float]] = {"jaxgan": [], "torch": []}
    pairs = [("jaxgan", ours), ("torch", theirs)]
    for _ in range(blocks):
        for name, side in pairs:
            times[name].append(block_ms(side, iterations))
        pairs.reverse()  # neither side is always the first
    return {
        "jax": jax.__version__,
        "torch": torch.__version__,
        "blocks": blocks,
        "iterations": iterations,
        "steps_per_call": ours.steps_per_call,
        **summary(times["jaxgan"], times["torch"], batch_ms(ours, calls=200)),
    }


def show(title: str, result: dict[str, Any]) -> None:
    """Print the table of `compare`'s result with `threads` and `load_before`."""
    plural = "s" if result["steps_per_call"] > 1 else ""
    print(
        f"{title}, threads: {result['threads']}, {result['blocks']} blocks of "
        f"{result['iterations']} iterations on each side\n"
        f"  jaxgan   {result['jaxgan_ms']:8.2f} ms  jax {result['jax']}, "
        f"{result['steps_per_call']} step{plural} a call\n"
        f"  PyTorch  {result['torch_ms']:8.2f} ms  torch {result['torch']}, eager\n"
        f"  ratio    {result['ratio']:8.2f}     of medians, jaxgan / PyTorch; 80 % of "
        f"the pairs of blocks: {result['ratio_10_percent']:.2f} to "
        f"{result['ratio_90_percent']:.2f}\n"
        f"  input    {result['pipeline_ms']:8.3f} ms  making the host's batch: "
        f"{result['pipeline_share']:.1%} of a jaxgan step\n"
        f"  load     {result['load_before']:8.2f}     of the machine before the run"
    )


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write the numbers to a file, if one is asked for."""
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")
