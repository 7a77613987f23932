"""The one training loop: restore, step, log, save."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import jax

from jaxgan import data
from jaxgan.errors import UserError
from jaxgan.experiment import Experiment, memory, preflight
from jaxgan.experiment.feed import Feed
from jaxgan.files import storage
from jaxgan.runtime import devices, program
from jaxgan.runtime.pace import Pace
from jaxgan.runtime.processes import Link
from jaxgan.runtime.profiler import Profiler
from jaxgan.runtime.signals import IN_TRAINING, StopSignals
from jaxgan.types import Batch, Gan, GanState, Metrics
from jaxgan.workdir.changed_data import check_unchanged_data
from jaxgan.workdir.checkpoint_manager import Checkpoints, SaveFailed
from jaxgan.workdir.records import Records, TrainingFailed
from jaxgan.workdir.start_state import restore_or_init
from jaxgan.workdir.startup import (
    check_length,
    check_same_data,
    check_same_state,
    hold_workdir,
)
from jaxgan.workdir.writers import Silent, Writer, Writers

__all__ = ["TrainingFailed", "train"]
Pair = tuple[range, Batch]  # the steps of a call, and their examples


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
    began = program.began or time.perf_counter()
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
        pace = stack.enter_context(Pace(loop["seconds"], began))
        records = Records(experiment, gan, feed, checkpoints, writers, link, pace, loop)
        run = Run(experiment, workdir, gan, feed, used, link, records)
        # Before this there is nothing to save, and a signal ends the process at once.
        signals = stack.enter_context(StopSignals(*IN_TRAINING))
        return run.take_steps(state, signals, profile and link.first)


class Run:
    """The training loop. `Records` writes what it makes."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        gan: Gan,
        feed: Feed,
        used: list[jax.Device],
        link: Link,
        records: Records,
    ):
        self.experiment = experiment
        self.workdir = workdir
        self.feed = feed
        self.devices = used
        self.link = link
        self.records = records
        self.num_steps = records.num_steps
        self.checkpoints = records.checkpoints
        self.writers = records.writers
        self.key = jax.random.key(experiment.seed)
        self.train_steps = devices.compile_steps(gan, used, feed.device_data)
        self.running: tuple[range, Metrics] | None = None
        self.reached: tuple[int, GanState] | None = None

    def take_steps(self, state: GanState, signals: StopSignals, profile: bool) -> int:
        """Take all remaining steps, and return the exit code."""
        options, start = self.experiment, int(state.step)
        if start == self.num_steps:
            self.writers.say(f"finished at step {start}; nothing to do")
            return 0
        stats = state.generator.batch_stats, state.critic.batch_stats
        self.say_start(start, bool(jax.tree.leaves(stats)))
        intervals = options.log_steps, options.sample_steps, options.checkpoint_steps
        size, plan = options.steps_per_call, self.feed.plan
        steps = plan, size, start, self.num_steps, intervals
        state = devices.replicate(state, self.devices)
        profiler = Profiler(self.workdir / "profile" if profile else None)
        # Two iterators, no list: a run "until I stop it" may have 1e9 calls.
        batches = self.feed.batches(data.calls(*steps))
        pairs = zip(data.calls(*steps), batches, strict=True)
        for number, (call, batch) in enumerate(self.save_before_errors(pairs)):
            profiler.before_call(number)
            state = self.take_call(call, batch, state)
            self.write_due(state)
            step, last = call.stop, call.stop == self.num_steps
            # Whichever process got a signal, all stop after the same call.
            received = max(self.link.exchange(signals.check()))
            stopping = received != 0 and not last
            profiler.after_call(number, state, last or stopping)
            self.checkpoints.poll()
            self.records.compute_due(step, state, last or stopping)
            if last or stopping:
                self.wait_for_call()
                self.write_due(state)
            if stopping:
                return self.stop(step, received)
        self.checkpoints.finish()
        self.writers.say_last(f"done: {self.num_steps} steps in {self.workdir}")
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
        self.writers.say_last(
            f"stopped by {signal.Signals(number).name}; step {step} is saved in "
            f"{self.checkpoints.directory}; run the same command to continue"
        )
        return 128 + number

    def take_call(self, call: range, batch: Batch, state: GanState) -> GanState:
        """Start a call, and wait for the one before it."""
        state, metrics = self.train_steps(state, batch, self.key)
        self.records.add_call(call, metrics)
        # If the host ran further ahead, batches would pile up on the device.
        self.wait_for_call()
        self.running = call, metrics
        self.reached = call.stop, state
        return state

    def wait_for_call(self) -> None:
        """Wait until the device has taken the steps of the newest call; count them."""
        if self.running is None:
            return
        (call, metrics), self.running = self.running, None
        jax.block_until_ready(metrics)
        plan, pace = self.feed.plan, self.records.pace
        images = len(call) * plan.critic_steps(call.start) * plan.batch_size
        if pace.is_new:
            self.writers.say(pace.describe_start(len(call)))
        pace.add(len(call), images)
        self.writers.advance(len(call))

    def write_due(self, state: GanState) -> None:
        """Write what was due after the last call; the device may be in the next one.

        That one gives `state`. A process that fails waits for it, because the others
        may be in it too and exchange values with this one.
        """
        try:
            self.records.write_due()
        except (TrainingFailed, SaveFailed):
            jax.block_until_ready(state)
            raise

    def save_before_errors(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield calls and batches; if a batch cannot be read, save, then raise."""
        try:
            yield from pairs
        except UserError as error:
            # Of several processes, the others do not know of the error yet.
            if self.reached is None or self.link.count > 1:
                raise
            step, state = self.reached
            self.wait_for_call()
            self.records.save_now(step, state)
            self.checkpoints.finish()
            raise UserError(f"{error}; step {step} is saved") from error
