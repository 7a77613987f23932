"""The kernels that take most of a step, from the traces of both profilers."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from side_by_side import Side, block_ms

MOST = 10
# Of the CPU's trace: what only calls others, or waits.
CALLERS = ("ThunkExecutor", "ThreadpoolListener", "PjRt", "Pjit", "TfrtCpu", "$")


class Event(NamedTuple):
    """An event of one thread or stream: its name, and when it began and ended."""

    name: str
    start: float
    end: float


class Kernel(NamedTuple):
    """Kernels of one name: milliseconds in an iteration, calls, share of the total."""

    name: str
    ms: float
    calls: float
    share: float


def own_times(events: Iterable[Event]) -> Counter[str]:
    """Return the time in which each name ran itself, without those nested in it.

    Args:
        events: of one thread or stream; they may contain one another, no more.
    """
    times: Counter[str] = Counter()
    open_events: list[Event] = []
    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        while open_events and open_events[-1].end <= event.start:
            open_events.pop()
        if open_events:
            times[open_events[-1].name] -= event.end - event.start
        times[event.name] += event.end - event.start
        open_events.append(event)
    return times


def largest(
    times: Counter[str], calls: Counter[str], iterations: int, most: int = MOST
) -> list[Kernel]:
    """Return those that took most; `times` are ms of all iterations."""
    total = sum(times.values()) or 1.0
    return [
        Kernel(name, ms / iterations, calls[name] / iterations, ms / total)
        for name, ms in times.most_common(most)
    ]


def profile_jax(side: Side, iterations: int) -> list[Kernel]:
    """Return the largest kernels (GPU), or thunks of XLA's programs (CPU)."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            block_ms(side, iterations)
        (path,) = Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(path))
    times: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for events in device_lines(data):
        times += own_times(events)
        calls.update(event.name for event in events)
    done = -(-iterations // side.steps_per_call) * side.steps_per_call
    return largest(times, calls, done)


def device_lines(data: Any) -> list[list[Event]]:
    """Return the events of each stream of a GPU, or of each of XLA's CPU threads."""
    planes = list(data.planes)
    on_device = [p for p in planes if p.name.startswith("/device:")]
    lines = []
    for plane in on_device or [p for p in planes if p.name.startswith("/host:CPU")]:
        for line in plane.lines:
            # A GPU's other lines repeat what its streams show; a TPU's work is in one.
            if on_device and not line.name.startswith(("Stream", "XLA Ops")):
                continue
            events = [
                Event(event.name, event.start_ns / 1e6, event.end_ns / 1e6)
                for event in line.events
                if on_device or dict(event.stats).get("hlo_op")
            ]
            lines.append([e for e in events if not e.name.startswith(CALLERS)])
    return lines


def profile_torch(side: Side, iterations: int) -> list[Kernel]:
    """Return PyTorch's largest kernels (GPU) or operations (CPU)."""
    import torch

    with torch.profiler.profile() as profiler:
        block_ms(side, iterations)
    on_gpu = torch.cuda.is_available()
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    times: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profiler.key_averages():
        # On a GPU operations have their kernels' time too; kernels are counted alone.
        if not on_gpu or event.device_type == torch.autograd.DeviceType.CUDA:
            times[event.key] += getattr(event, field) / 1e3
            calls[event.key] += event.count
    return largest(times, calls, iterations)


def table(title: str, kernels: list[Kernel]) -> str:
    """Return the kernels as lines."""
    lines = [f"{title}: the {len(kernels)} that take most"]
    lines += [
        f"  {k.share:6.1%} {k.ms:10.3f} ms {k.calls:9.1f} calls  {k.name[:90]}"
        for k in kernels
    ]
    return "\n".join(lines)
