"""The one training loop: restore, step, log, save."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import data, keys
from jaxgan.errors import UserError
from jaxgan.experiment import Experiment, memory, preflight
from jaxgan.experiment.diagnosis import likely_reason
from jaxgan.experiment.feed import Feed
from jaxgan.files import storage
from jaxgan.runtime import devices
from jaxgan.runtime.processes import Link
from jaxgan.runtime.profiler import Profiler
from jaxgan.runtime.signals import IN_TRAINING, StopSignals
from jaxgan.types import Batch, Gan, GanState, Metrics
from jaxgan.workdir.changed_data import check_unchanged_data, facts_to_store
from jaxgan.workdir.checkpoint_files import to_arrays
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.start_state import restore_or_init
from jaxgan.workdir.startup import (
    check_length,
    check_same_data,
    check_same_state,
    hold_workdir,
)
from jaxgan.workdir.writers import Means, Silent, Writer, Writers

Pair = tuple[range, Batch]  # the steps of a call, and their examples


class TrainingFailed(Exception):
    """A loss or a parameter is not finite; the message says where, and what is kept."""


def train(
    experiment: Experiment,
    workdir: Path,
    profile: bool = False,
    link: Link | None = None,
    allow_changed_data: bool = False,
) -> int:
    """Train all steps of an experiment, from the workdir's checkpoint if it has one.

    With several processes, each calls this function with its `link` to the others. With
    `allow_changed_data`, a run goes on with other examples than it began with.

    Returns:
        0; after SIGTERM, SIGINT or SIGHUP, once all is saved, 128 + its number.

    Raises:
        UserError: the config, the data or the workdir cannot be used.
        TrainingFailed: a loss, a held-out metric or a parameter is not finite.
        SaveFailed: a checkpoint could not be written.
    """
    link = link or Link()
    devices.start_distributed(link)
    with ExitStack() as stack:
        fields = experiment.fields
        confirm_lock = stack.enter_context(hold_workdir(workdir, fields, link))
        with link.share_errors():
            used = devices.choose_devices(
                experiment.num_devices,
                experiment.batch_size,
                experiment.accumulate_steps,
            )
            preflight.check_run(experiment, used)
            examples = experiment.load_data(device_bytes=memory.own_memory(used))
            feed = experiment.feed(examples, jax.process_index(), link.count)
            preflight.check_run(experiment, used, feed)
            num_steps = experiment.num_steps(feed.plan)
            check_length(workdir, num_steps)
        check_same_data(feed, experiment.data_dir or experiment.data_name, link)
        allow = allow_changed_data
        changes = check_unchanged_data(workdir, feed, experiment, allow, link)
        feed = feed._replace(about=feed.about + changes)
        gan = experiment.gan(
            feed.shape,
            feed.num_classes,
            axis_name=devices.axis_name(used),
            epoch_examples=feed.plan.num_examples,
        )
        keep = experiment.keep_checkpoints
        checkpoints = Checkpoints(
            workdir / "checkpoints", keep, link, fields, confirm_lock
        )
        stack.callback(checkpoints.close)
        state, loop = restore_or_init(experiment, gan, feed, checkpoints)
        check_same_state(state, experiment.init_from, link)
        devices.connect_devices(used)
        writers: Writer = Silent()
        if link.first:
            # Written only now, so that a mistake in the config leaves no files behind.
            storage.write(workdir / "config.json", experiment.config_json)
            writers = Writers(workdir, int(state.step), num_steps)
        stack.callback(writers.close)
        run = Run(experiment, workdir, gan, feed, used, checkpoints, writers, link)
        # Before this there is nothing to save, and a signal ends the process at once.
        signals = stack.enter_context(StopSignals(*IN_TRAINING))
        return run.take_steps(state, loop, signals, profile and link.first)


class Run:
    """The training loop, and its sums between two lines of metrics."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        gan: Gan,
        feed: Feed,
        used: list[jax.Device],
        checkpoints: Checkpoints,
        writers: Writer,
        link: Link,
    ):
        self.experiment = experiment
        self.workdir = workdir
        self.feed = feed
        self.num_steps = experiment.num_steps(feed.plan)
        self.devices = used
        self.checkpoints = checkpoints
        self.writers = writers
        self.link = link
        self.key = jax.random.key(experiment.seed)
        self.train_steps = devices.compile_steps(gan, used, feed.device_data)
        self.sample = jax.jit(gan.sample)
        self.evaluate = jax.jit(gan.evaluate)
        # Means since the last line, seconds of the whole run; checkpoints hold both.
        self.means = Means({}, {})
        self.seconds = 0.0
        self.clock = time.perf_counter()
        self.images = 0
        self.steps_taken = 0
        self.waiting: list[tuple[int, Metrics]] = []
        self.reached: tuple[int, GanState] | None = None

    def take_steps(
        self,
        state: GanState,
        loop: dict[str, Any],
        signals: StopSignals,
        profile: bool,
    ) -> int:
        """Take all remaining steps, and return the exit code."""
        options, start = self.experiment, int(state.step)
        self.means = Means(loop["sums"], loop["counts"])
        self.seconds = loop["seconds"]
        if start == self.num_steps:
            self.writers.say(f"finished at step {start}; nothing to do")
            return 0
        stats = state.generator.batch_stats, state.critic.batch_stats
        self.say_start(start, bool(jax.tree.leaves(stats)))
        steps = self.feed.plan, options.steps_per_call, start, self.num_steps
        state = devices.replicate(state, self.devices)
        profiler = Profiler(self.workdir / "profile" if profile else None)
        # Two iterators, no list: a run "until I stop it" may have 1e9 calls.
        batches = self.feed.batches(data.calls(*steps))
        pairs = zip(data.calls(*steps), batches, strict=True)
        for number, (call, batch) in enumerate(self.save_before_errors(pairs)):
            profiler.before_call(number)
            state = self.take_call(call, batch, state)
            step, last = call.stop, call.stop == self.num_steps
            # Whichever process got a signal, all stop after the same call.
            received = max(self.link.exchange(signals.check()))
            stopping = received != 0 and not last
            profiler.after_call(number, state, last or stopping)
            self.checkpoints.poll()
            if last or step % options.log_steps == 0:
                self.log(step, state)
            if last or is_due(step, options.sample_steps):
                self.draw_picture(step, state)
            if last or stopping or is_due(step, options.checkpoint_steps):
                self.save(step, state)
            if stopping:
                return self.stop(step, received)
        self.checkpoints.finish()
        self.writers.say(f"done: {self.num_steps} steps in {self.workdir}")
        return 0

    def say_start(self, step: int, has_batch_norm: bool) -> None:
        """Report the first step, the devices, the folder and the data."""
        where = f"from step {step}" if step else "from the start"
        options = self.experiment
        words = devices.describe_devices(
            self.devices,
            options.num_devices,
            options.batch_size,
            options.accumulate_steps,
        )
        self.writers.say(f"training {where} on {words} in {self.workdir}")
        for line in self.feed.about:
            self.writers.say(f"data: {line}")
        if options.accumulate_steps > 1 and has_batch_norm:
            self.writers.say(
                f"train.accumulate_steps = {options.accumulate_steps}: BatchNorm "
                "normalises within each micro-batch, so the run differs from one "
                "without accumulation"
            )

    def stop(self, step: int, number: int) -> int:
        """Wait for the checkpoint, say where it is, and return the exit code."""
        self.checkpoints.finish()
        self.writers.say(
            f"stopped by {signal.Signals(number).name}; step {step} is saved in "
            f"{self.checkpoints.directory}; run the same command to continue"
        )
        return 128 + number

    def take_call(self, call: range, batch: Batch, state: GanState) -> GanState:
        """Take the steps of one call; the host may run one call ahead of the device."""
        state, metrics = self.train_steps(state, batch, self.key)
        self.waiting.append((call.start, metrics))
        if len(self.waiting) > 1:
            # If it ran further ahead, batches would pile up on the device.
            jax.block_until_ready(self.waiting[-2][1])
        plan = self.feed.plan
        self.images += len(call) * plan.critic_steps(call.start) * plan.batch_size
        self.steps_taken += len(call)
        self.writers.advance(len(call))
        self.reached = call.stop, state
        return state

    def save_before_errors(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield calls and batches; if a batch cannot be read, save, then raise."""
        try:
            yield from pairs
        except UserError as error:
            # Of several processes, the others do not know of the error yet.
            if self.reached is None or self.link.count > 1:
                raise
            step, state = self.reached
            self.save(step, state)
            self.checkpoints.finish()
            raise UserError(f"{error}; step {step} is saved") from error

    def collect(self) -> None:
        """Add the metrics of finished calls to the means; raises TrainingFailed."""
        for first, metrics in self.waiting:
            values = {n: np.asarray(v) for n, v in jax.device_get(metrics).items()}
            for offset in range(len(next(iter(values.values())))):
                of_step = {n: v[offset] for n, v in values.items()}
                for name, value in of_step.items():
                    if not np.all(np.isfinite(value)):
                        raise self.failure(first + offset + 1, name)
                self.means.add(of_step)
        self.waiting = []

    def failure(self, step: int, name: str) -> TrainingFailed:
        """Return the error for a metric or array that is not finite."""
        latest = self.checkpoints.latest()
        made = f"the checkpoint of step {latest} is kept"
        kept = "no checkpoint was saved" if latest is None else made
        reason = likely_reason(self.experiment)
        return TrainingFailed(
            f"training failed at step {step}: {name} is not finite"
            f"{', ' if reason else ''}{reason}; {kept} in {self.checkpoints.directory}"
        )

    def log(self, step: int, state: GanState) -> None:
        """Write the means since the last line, and the held-out metrics."""
        self.collect()
        elapsed = time.perf_counter() - self.clock
        self.seconds += elapsed
        rate = self.images / elapsed
        left = elapsed / max(1, self.steps_taken) * (self.num_steps - step)
        values = self.means.take()
        self.clock, self.images, self.steps_taken = time.perf_counter(), 0, 0
        if not self.link.first:
            return  # only process 0 writes, so only it evaluates
        key = jax.random.fold_in(self.key, keys.HELDOUT)
        single = devices.unreplicate(state)
        heldout = jax.device_get(self.evaluate(single, self.feed.heldout, key))
        for name, value in heldout.items():
            if not np.isfinite(value):
                raise self.failure(step, name)
        values |= {n: float(v) for n, v in heldout.items()}
        values["seconds"] = round(self.seconds, 3)
        values["images_per_second"] = round(rate, 1)
        self.checkpoints.confirm_lock()
        self.writers.metrics(step, values, left)

    def draw_picture(self, step: int, state: GanState) -> None:
        """Write a picture of samples from the run's fixed inputs."""
        if not self.link.first:
            return  # only process 0 writes, so only it samples
        key = jax.random.fold_in(self.key, keys.SAMPLES)
        drawn = self.sample(devices.unreplicate(state), self.feed.fixed, key)
        self.writers.picture(step, "samples", self.feed.picture(drawn))

    def save(self, step: int, state: GanState) -> None:
        """Save the state and the loop's numbers; raises TrainingFailed on NaN."""
        self.collect()
        arrays = to_arrays(devices.copy_to_host(state))
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise self.failure(step, name)
        loop = {
            **facts_to_store(self.feed),
            "sums": self.means.sums,
            "counts": self.means.counts,
            "seconds": self.seconds + time.perf_counter() - self.clock,
        }
        self.checkpoints.save(step, arrays, loop)


def is_due(step: int, every: int) -> bool:
    """Return whether `step` is a multiple of `every`; never if `every` is 0."""
    return every > 0 and step % every == 0
