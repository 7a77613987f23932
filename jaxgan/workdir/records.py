"""What a run writes as it trains: lines of metrics, pictures and checkpoints.

The device never waits for the host's files. After the call that ends where something is
due, the loop has the device compute it (`compute_due`), and starts the next call. Only
then the host fetches the values and writes them (`write_due`).
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan import keys
from jaxgan.experiment import Experiment
from jaxgan.experiment.diagnosis import likely_reason
from jaxgan.experiment.feed import Feed
from jaxgan.runtime import devices
from jaxgan.runtime.pace import Pace
from jaxgan.runtime.processes import Link
from jaxgan.types import Gan, GanState, Metrics
from jaxgan.workdir.changed_data import facts_to_store
from jaxgan.workdir.checkpoint_files import to_arrays
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.loop_metadata import Loop
from jaxgan.workdir.writers import Means, Writer

LINE, PICTURE, CHECKPOINT = "line", "picture", "checkpoint"
Call = tuple[range, Metrics]  # the steps of a call, and their metrics


class TrainingFailed(Exception):
    """A loss or a parameter is not finite; the message says where, and what is kept."""


class Due(NamedTuple):
    """What the device computes to be written.

    Attributes:
        step: the step after which it is due.
        kinds: which of LINE, PICTURE and CHECKPOINT are due.
        calls: the calls since the last time.
        heldout: what `Gan.evaluate` returns, for a line.
        drawn: what `Gan.sample` returns, for a picture.
        state: a copy of the state, for a checkpoint.
    """

    step: int
    kinds: set[str]
    calls: list[Call]
    heldout: Metrics | None
    drawn: dict[str, Any] | None
    state: GanState | None


class Records:
    """Computes and writes what is due, with the sums since the last line.

    Args:
        experiment, gan, feed: the run.
        checkpoints, writers, link: where to write.
        pace: the run's speed, for the lines.
        loop: the loop's numbers, from the checkpoint that the run goes on from.
    """

    def __init__(
        self,
        experiment: Experiment,
        gan: Gan,
        feed: Feed,
        checkpoints: Checkpoints,
        writers: Writer,
        link: Link,
        pace: Pace,
        loop: Loop,
    ):
        self.experiment, self.feed = experiment, feed
        self.checkpoints, self.writers, self.link = checkpoints, writers, link
        self.pace, self.num_steps = pace, experiment.num_steps(feed.plan)
        key = jax.random.key(experiment.seed)
        self._heldout_key = jax.random.fold_in(key, keys.HELDOUT)
        self._samples_key = jax.random.fold_in(key, keys.SAMPLES)
        self._sample = jax.jit(gan.sample)
        self._evaluate = jax.jit(gan.evaluate)
        self._means = Means(loop["sums"], loop["counts"])
        self._calls: list[Call] = []  # since something was due
        self._due: Due | None = None
        self._compiled: set[str] = set()  # kinds whose functions are compiled
        self._saved: int | None = None

    def add_call(self, call: range, metrics: Metrics) -> None:
        """Keep the metrics of a call, which the device may not have computed yet."""
        self._calls.append((call, metrics))

    def compute_due(self, step: int, state: GanState, is_end: bool) -> None:
        """Have the device compute what is due after `step`.

        Call it before the next call takes over the state's memory. `is_end` says that
        this process takes no step after this one.
        """
        options = self.experiment
        last = step == self.num_steps
        kinds = {
            LINE: last or is_due(step, options.log_steps),
            PICTURE: last or is_due(step, options.sample_steps),
            CHECKPOINT: is_end or is_due(step, options.checkpoint_steps),
        }
        self._compute(step, state, {kind for kind, due in kinds.items() if due})

    def _compute(self, step: int, state: GanState, kinds: set[str]) -> None:
        if not kinds:
            return
        if kinds - self._compiled:
            # Their functions are compiled now. That does not count in the run's speed,
            # so the device must not take steps meanwhile.
            jax.block_until_ready(state)
            self._compiled |= kinds
        heldout = drawn = copy = None
        one = devices.unreplicate(state)
        # Only process 0 writes lines and pictures, so only it evaluates and samples.
        if LINE in kinds and self.link.first:
            heldout = self._evaluate(one, self.feed.heldout, self._heldout_key)
        if PICTURE in kinds and self.link.first:
            drawn = self._sample(one, self.feed.fixed, self._samples_key)
        if CHECKPOINT in kinds:
            copy = devices.copy_arrays(one)
        self._due = Due(step, kinds, self._calls, heldout, drawn, copy)
        self._calls = []

    def write_due(self) -> None:
        """Write what was computed last, if it is not written; a checkpoint comes last.

        Raises:
            TrainingFailed: a value is not finite; that step is not saved.
            SaveFailed: a checkpoint could not be written.
        """
        due, self._due = self._due, None
        if due is None:
            return
        self._add_to_means(due.calls)
        if LINE in due.kinds:
            self._write_line(due.step, due.heldout)
        if due.drawn is not None:
            self.writers.picture(due.step, "samples", self.feed.picture(due.drawn))
        if due.state is not None:
            self._save(due.step, due.state)

    def save_now(self, step: int, state: GanState) -> None:
        """Write what is due, and a checkpoint in any case; raises as `write_due`."""
        self.write_due()
        if self._saved != step:
            self._compute(step, state, {CHECKPOINT})
            self.write_due()

    def _add_to_means(self, calls: list[Call]) -> None:
        for call, metrics in calls:
            values = {n: np.asarray(v) for n, v in jax.device_get(metrics).items()}
            for offset, step in enumerate(call):
                of_step = {n: v[offset] for n, v in values.items()}
                for name, value in of_step.items():
                    if not np.all(np.isfinite(value)):
                        raise self._failure(step + 1, name)
                self._means.add(of_step)

    def _write_line(self, step: int, heldout: Metrics | None) -> None:
        images_rate, steps_rate = self.pace.rates()
        values = self._means.take()
        if heldout is None:
            return
        for name, value in jax.device_get(heldout).items():
            if not np.isfinite(value):
                raise self._failure(step, name)
            values[name] = float(value)
        values["seconds"] = round(self.pace.seconds(), 3)
        values["images_per_second"] = round(images_rate, 1)
        self.checkpoints.confirm_lock()
        self.writers.metrics(step, values, (self.num_steps - step) / steps_rate)

    def _save(self, step: int, state: GanState) -> None:
        arrays = to_arrays(jax.device_get(state))
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise self._failure(step, name)
        loop = {
            **facts_to_store(self.feed),
            "sums": self._means.sums,
            "counts": self._means.counts,
            "seconds": self.pace.seconds(),
        }
        self.checkpoints.save(step, arrays, loop)
        self._saved = step

    def _failure(self, step: int, name: str) -> TrainingFailed:
        """Return the error for a metric or array that is not finite."""
        self.checkpoints.wait()  # so that the newest one is named
        latest = self.checkpoints.latest()
        made = f"the checkpoint of step {latest} is kept"
        kept = "no checkpoint was saved" if latest is None else made
        reason = likely_reason(self.experiment)
        return TrainingFailed(
            f"training failed at step {step}: {name} is not finite"
            f"{', ' if reason else ''}{reason}; {kept} in {self.checkpoints.directory}"
        )


def is_due(step: int, every: int) -> bool:
    """Return whether `step` is a multiple of `every`; never if `every` is 0."""
    return every > 0 and step % every == 0
