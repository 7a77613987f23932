"""How fast a run goes: its seconds, images per second, and the time left."""

import time

import jax

COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


class CompileTime:
    """The seconds that JAX has spent on tracing and compiling, in a `with` block.

    JAX reports each function when it is done, also one that is part of another.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []

    def __enter__(self) -> "CompileTime":
        jax.monitoring.register_event_duration_secs_listener(self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._note)

    def _note(self, event: str, duration_secs: float, **about: str | int) -> None:
        if event not in COMPILING:
            return
        end = time.perf_counter()
        start = end - duration_secs
        while self._spans and self._spans[-1][0] >= start:
            self._spans.pop()  # a part of this one
        before = self._spans[-1][1] if self._spans else start
        self._spans.append((max(start, before), end))

    def seconds(self) -> float:
        """Return the sum so far."""
        return sum(end - start for start, end in self._spans)


class Pace:
    """The time that a run has taken, and its speed since the last line of metrics.

    Used in a `with` block.

    Args:
        seconds: what the run took before, in other processes.
        began: `time.perf_counter()` when this process began to work on it.

    Attributes:
        is_new: whether no steps have been added yet.
    """

    def __init__(self, seconds: float, began: float) -> None:
        self.is_new = True
        self._began = began
        self._compiling = CompileTime()
        self._seconds = seconds
        self._compiled = 0.0
        self._clock = time.perf_counter()
        self._steps = self._images = 0

    def __enter__(self) -> "Pace":
        self._compiling.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._compiling.__exit__()

    def describe_start(self, steps: int) -> str:
        """Return in words how long it took until the first call's steps were done."""
        after = time.perf_counter() - self._began
        plural = f"{steps} steps" if steps > 1 else "step"
        compiling = self._compiling.seconds()
        return f"first {plural} after {after:.1f} s (compiling took {compiling:.1f} s)"

    def add(self, steps: int, images: int) -> None:
        """Count steps that the device has taken, and their images."""
        self.is_new = False
        self._steps += steps
        self._images += images

    def seconds(self) -> float:
        """Return the seconds of the run, with compiling."""
        return self._seconds + time.perf_counter() - self._clock

    def rates(self) -> tuple[float, float]:
        """Return images and steps per second since the last line, and begin anew.

        The time that compiling took does not count.
        """
        now, compiled = time.perf_counter(), self._compiling.seconds()
        elapsed = now - self._clock
        working = max(elapsed - (compiled - self._compiled), 1e-6)
        rates = self._images / working, max(1, self._steps) / working
        self._seconds += elapsed
        self._clock, self._compiled = now, compiled
        self._steps = self._images = 0
        return rates
