"""The one training loop: build, restore, step, log, save."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, keys
from jaxgan.experiment import build
from jaxgan.experiment import variants as configs
from jaxgan.experiment.feed import Feed, feed
from jaxgan.files import storage
from jaxgan.runtime import devices
from jaxgan.runtime.processes import Link
from jaxgan.runtime.profiler import Profiler
from jaxgan.runtime.signals import StopSignals
from jaxgan.types import Batch, Gan, GanState, Metrics
from jaxgan.workdir import checkpoint_files
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.startup import (
    alone_in,
    check_length,
    check_same_data,
    check_same_state,
)
from jaxgan.workdir.warm_start import warm_start
from jaxgan.workdir.writers import Means, Silent, Writers


class TrainingFailed(Exception):
    """A loss or a parameter is not finite: says where, and what was kept."""


def train(
    config: ConfigDict, workdir: Path, profile: bool = False, link: Link | None = None
) -> int:
    """Train all steps of the config, resuming where the workdir has a checkpoint.

    With several processes each calls it, with its `link` to the others.

    Returns:
        0, or 128 + the signal's number after SIGTERM or SIGINT, once all is saved.

    Raises:
        UserError: the config, the data or the workdir is not usable.
        TrainingFailed: a loss is not finite.
    """
    link = link or Link()
    devices.start(link)
    with StopSignals() as signals, ExitStack() as stack:
        stack.enter_context(alone_in(workdir, config, link))
        with link.together():
            used = devices.choose_devices(
                config.parallel.devices,
                config.data.batch_size,
                config.train.accumulate_steps,
            )
            source = feed(config, jax.process_index(), link.count)
            num_steps = build.num_steps(config, source.plan)
            check_length(workdir, num_steps)
        check_same_data(config, source, link)
        gan = build.gan(
            config,
            source.shape,
            source.num_classes,
            axis_name=devices.axis_name(used),
            epoch_examples=source.plan.num_examples,
        )
        keep = config.train.keep_checkpoints
        checkpoints = Checkpoints(workdir / "checkpoints", keep, link)
        stack.callback(checkpoints.close)
        state, loop = first_state(config, gan, source, checkpoints)
        check_same_state(config, state, link)
        devices.meet(used)
        writers: Writers | Silent = Silent()
        if link.first:
            # Only now, so that a mistake in the config leaves nothing behind it.
            storage.write(workdir / "config.json", configs.to_json(config))
            writers = Writers(workdir, int(state.step), num_steps)
        stack.callback(writers.close)
        run = Run(
            config, workdir, gan, source, num_steps, used, checkpoints, writers, link
        )
        return run.steps(state, loop, signals, profile and link.first)


def first_state(
    config: ConfigDict, gan: Gan, source: Feed, checkpoints: Checkpoints
) -> tuple[GanState, dict[str, Any]]:
    """Return the state to go on from: a sound checkpoint, `init_from`, or step 0."""
    key = jax.random.key(config.train.seed)
    like = jax.eval_shape(gan.init, key)
    restored = checkpoints.restore(like)
    if restored is not None:
        return restored
    state = jax.jit(gan.init)(key)
    params = state.critic.params
    build.check_critic(config, source.shape, source.num_classes, params)
    if config.train.init_from:
        state = warm_start(
            state, storage.checked_path(config.train.init_from, "train.init_from")
        )
    return state, {"sums": {}, "counts": {}, "seconds": 0.0}


class Run:
    """The loop's own variables: what it writes, and what gathers between lines."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        gan: Gan,
        source: Feed,
        num_steps: int,
        used: list[jax.Device],
        checkpoints: Checkpoints,
        writers: Writers | Silent,
        link: Link,
    ):
        self.config = config
        self.workdir = workdir
        self.source = source
        self.num_steps = num_steps
        self.devices = used
        self.checkpoints = checkpoints
        self.writers = writers
        self.link = link
        self.key = jax.random.key(config.train.seed)
        self.train_steps = devices.compile_steps(gan, used)
        self.sample = jax.jit(gan.sample)
        self.evaluate = jax.jit(gan.evaluate)
        # Gathered since the last line; the first two are part of a checkpoint.
        self.means = Means({}, {})
        self.seconds = 0.0
        self.clock = time.perf_counter()
        self.images = 0
        self.steps_taken = 0
        self.waiting: list[tuple[int, Metrics]] = []

    def steps(
        self,
        state: GanState,
        loop: dict[str, Any],
        signals: StopSignals,
        profile: bool,
    ) -> int:
        """Take all steps that are left; returns the exit code."""
        train, start = self.config.train, int(state.step)
        self.means = Means(loop["sums"], loop["counts"])
        self.seconds = loop["seconds"]
        if start == self.num_steps:
            self.writers.say(f"finished at step {start}; nothing to do")
            return 0
        stats = state.generator.batch_stats, state.critic.batch_stats
        self.say_start(start, bool(jax.tree.leaves(stats)))
        calls = list(
            data.calls(self.source.plan, train.steps_per_call, start, self.num_steps)
        )
        state = devices.replicate(state, self.devices)
        profiler = Profiler(self.workdir / "profile" if profile else None)
        batches = self.source.batches(calls)
        for number, (call, batch) in enumerate(zip(calls, batches, strict=True)):
            profiler.before(number)
            state = self.take(call, batch, state)
            profiler.after(number, state)
            step, last = call.stop, call.stop == self.num_steps
            # Whichever process got a signal, all stop after the same call.
            received = max(self.link.exchange(signals.received))
            stopping = received != 0 and not last
            self.checkpoints.poll()
            if last or step % train.log_steps == 0:
                self.log(step, state)
            if last or due(step, train.sample_steps):
                self.draw(step, state)
            if last or stopping or due(step, train.checkpoint_steps):
                self.save(step, state)
            if stopping:
                return self.stopped(step, received)
        self.checkpoints.finish()
        self.writers.say(f"done: {self.num_steps} steps in {self.workdir}")
        return 0

    def say_start(self, step: int, has_batch_norm: bool) -> None:
        """Say from where, on what and in which folder."""
        where = f"from step {step}" if step else "from the start"
        parts = self.config.train.accumulate_steps
        words = devices.in_words(
            self.devices,
            self.config.parallel.devices,
            self.config.data.batch_size,
            parts,
        )
        self.writers.say(f"training {where} on {words} in {self.workdir}")
        if parts > 1 and has_batch_norm:
            self.writers.say(
                f"train.accumulate_steps = {parts}: BatchNorm normalises within each "
                "part of a batch, so this is not the run without accumulation"
            )

    def stopped(self, step: int, number: int) -> int:
        """Wait for the checkpoint, say where it is, and return the exit code."""
        self.checkpoints.finish()
        self.writers.say(
            f"stopped by {signal.Signals(number).name}; step {step} is saved in "
            f"{self.checkpoints.directory}; the same command goes on"
        )
        return 128 + number

    def take(self, call: range, batch: Batch, state: GanState) -> GanState:
        """Take the steps of one call, letting the host run one call ahead."""
        state, metrics = self.train_steps(state, batch, self.key)
        self.waiting.append((call.start, metrics))
        if len(self.waiting) > 1:
            jax.block_until_ready(self.waiting[-2][1])
        plan = self.source.plan
        self.images += len(call) * plan.critic_steps(call.start) * plan.batch_size
        self.steps_taken += len(call)
        self.writers.advance(len(call))
        return state

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
        kept = (
            "no checkpoint had been made"
            if latest is None
            else f"the checkpoint of step {latest} is kept"
        )
        return TrainingFailed(
            f"training failed at step {step}: {name} is not finite; {kept} in "
            f"{self.checkpoints.directory}"
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
        if isinstance(self.writers, Silent):
            return
        key = jax.random.fold_in(self.key, keys.HELDOUT)
        alone = devices.on_one_device(state)
        heldout = jax.device_get(self.evaluate(alone, self.source.heldout, key))
        for name, value in heldout.items():
            if not np.isfinite(value):
                raise self.failure(step, name)
        values |= {n: float(v) for n, v in heldout.items()}
        values["seconds"] = round(self.seconds, 3)
        values["images_per_second"] = round(rate, 1)
        self.writers.metrics(step, values, left)

    def draw(self, step: int, state: GanState) -> None:
        """Write the picture of samples from the run's fixed examples."""
        if isinstance(self.writers, Silent):
            return
        key = jax.random.fold_in(self.key, keys.SAMPLES)
        alone = devices.on_one_device(state)
        drawn = self.sample(alone, self.source.fixed, key)
        self.writers.picture(step, "samples", self.source.picture(drawn))

    def save(self, step: int, state: GanState) -> None:
        """Save the state and the loop's numbers; raises TrainingFailed on NaN."""
        self.collect()
        host = devices.to_host(state)
        for name, array in checkpoint_files.as_dict(host).items():
            if not np.all(np.isfinite(array)):
                raise self.failure(step, name)
        loop = {
            "shape": list(self.source.shape),
            "num_classes": self.source.num_classes,
            "sums": self.means.sums,
            "counts": self.means.counts,
            "seconds": self.seconds + time.perf_counter() - self.clock,
        }
        self.checkpoints.save(step, host, loop)


def due(step: int, every: int) -> bool:
    """Return whether `step` is a multiple of `every`; 0 is never."""
    return every > 0 and step % every == 0
