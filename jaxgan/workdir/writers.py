"""Metrics, sample grids and progress: what a run writes besides checkpoints."""

import datetime
import errno
import importlib.util
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxgan.files import pictures, storage
from jaxgan.runtime import streams
from jaxgan.workdir.metrics_lines import keep_lines

# The most time left that a line shows, 3,000 years: timedelta takes not much more.
LONGEST_SECONDS = 1e11
SHOWN = (
    "critic/wasserstein",
    "heldout/wasserstein",
    "heldout/psnr_a2b",
    "heldout/psnr_b2a",
    "generator/loss",
)


class Means:
    """Means of metrics since the last line, however the steps are divided into calls.

    Values are added one by one, in float64 and in the order of the steps, so that a run
    that was stopped anywhere and resumed ends with the same bits.
    """

    def __init__(self, sums: Mapping[str, float], counts: Mapping[str, int]):
        self.sums = dict(sums)
        self.counts = dict(counts)

    def add(self, metrics: Mapping[str, np.ndarray]) -> None:
        """Add every element of every metric."""
        for name, values in metrics.items():
            for value in np.ravel(values).tolist():
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means, and reset them."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        self.sums, self.counts = {}, {}
        return means


class Writer(Protocol):
    """The interface for the loop's reports; `Writers` and `Silent` implement it."""

    def advance(self, steps: int) -> None:
        """Count `steps` more steps."""

    def metrics(self, step: int, values: Mapping[str, float], left: float) -> None:
        """Report one line of metrics; `left` is the remaining time in seconds."""

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Report a picture uint8 [h, w, 1 | 3]."""

    def say(self, text: str) -> None:
        """Report a line of text to the user."""

    def say_last(self, text: str) -> None:
        """Report the run's last line of text."""

    def close(self) -> None:
        """Flush and close the files."""


class Writers:
    """Writes `metrics.jsonl`, `samples/`, TensorBoard events and the progress bar."""

    def __init__(self, workdir: Path, start: int, num_steps: int):
        self.workdir = workdir
        self.num_steps = num_steps
        self._path = workdir / "metrics.jsonl"
        keep_lines(self._path, start)
        wanted = {"tensorboardX": "TensorBoard files"}
        if streams.is_terminal(sys.stderr):
            wanted["tqdm"] = "progress bar"
        absent = [name for name in wanted if importlib.util.find_spec(name) is None]
        if absent:
            without = " and ".join(wanted[name] for name in absent)
            print(f"jaxgan: no {without}: pip install {' '.join(absent)}")
        present = wanted.keys() - absent
        self._local: tempfile.TemporaryDirectory | None = None
        if start == num_steps:
            present = set()  # there is nothing to write
        self._board = self._open_board(start) if "tensorboardX" in present else None
        self._board_thread = find_thread("tensorboardX")
        self._bar = self._open_bar(start) if "tqdm" in present else None

    def _open_board(self, start: int) -> Any:
        # PyTorch is hidden: if it is installed, tensorboardX imports it for functions
        # that are not used here, which takes a quarter of a short run's CPU time.
        hidden = sys.modules.setdefault("torch", None) is None  # type: ignore[arg-type]
        from tensorboardX import SummaryWriter

        if hidden:
            del sys.modules["torch"]
        # Absolute, because tensorboardX takes a folder named `gs:` for a bucket.
        folder = str(self.workdir.absolute())
        if storage.is_remote(self.workdir):
            self._local = tempfile.TemporaryDirectory()
            folder = self._local.name
        # An earlier process may have logged steps after `start`. They are taken again,
        # so their old events are purged.
        return SummaryWriter(folder, purge_step=start + 1, max_queue=1000)

    def _open_bar(self, start: int) -> Any:
        from tqdm import tqdm

        return tqdm(total=self.num_steps, initial=start, unit="step", smoothing=0.1)

    def advance(self, steps: int) -> None:
        """Move the progress bar."""
        if self._bar is not None:
            self._bar.update(steps)

    def metrics(self, step: int, values: Mapping[str, float], left: float) -> None:
        """Write one line of metrics; `left` is the remaining time in seconds."""
        line = {"step": step} | {name: values[name] for name in sorted(values)}
        storage.append(self._path, json.dumps(line, allow_nan=False) + "\n")

        def add_values(board: Any) -> None:
            for name, value in values.items():
                board.add_scalar(name, value, step)

        self._write_events(add_values)
        self._upload_events()
        shown = {name: f"{values[name]:.4g}" for name in SHOWN if name in values}
        images_rate = f"{values['images_per_second']:.3g}"
        if self._bar is not None:
            self._bar.set_postfix({"images/s": images_rate, **shown})
            return
        parts = ", ".join(f"{name} {value}" for name, value in shown.items())
        clock = datetime.timedelta(seconds=round(min(left, LONGEST_SECONDS)))
        where = f"step {step}/{self.num_steps}"
        print(f"{where}: {parts}, {images_rate} images/s, {clock} left", flush=True)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Write a picture [h, w, 1 | 3] to `samples/` and to TensorBoard."""
        pictures.save_png(self.workdir / "samples" / f"step_{step:08d}.png", picture)
        self._write_events(
            lambda board: board.add_image(name, picture, step, dataformats="HWC")
        )

    def _write_events(self, write: Callable[[Any], None]) -> None:
        """Call write(board), and go on without TensorBoard once its file fails.

        tensorboardX writes in a thread. After an error of the file that thread ends,
        and a later call would wait for it without end once 10 events, or `max_queue`,
        wait to be written.
        """
        if self._board is None:
            return
        try:
            if self._board_thread is None or not self._board_thread.is_alive():
                raise OSError(errno.EIO, "an event could not be written")
            write(self._board)
            self._board.flush()
        except OSError as error:
            self._board = None
            self.say(f"no more TensorBoard events ({error.strerror})")

    def _upload_events(self) -> None:
        """Write this process's TensorBoard file to the bucket, as a whole.

        tensorboardX could do this itself. But if a bucket does not answer, it prints
        pages of tracebacks, even from a thread and when the process exits.
        """
        if self._local is not None:
            for file in Path(self._local.name).iterdir():
                storage.write(self.workdir / file.name, file.read_bytes())

    def say(self, text: str) -> None:
        """Print a line without breaking the progress bar."""
        if self._bar is not None:
            self._bar.write(f"jaxgan: {text}")
        else:
            print(f"jaxgan: {text}", flush=True)

    def say_last(self, text: str) -> None:
        """Print a line below the progress bar, which moves no more."""
        self._close_bar()
        self.say(text)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Flush and close the files."""
        self._write_events(lambda board: board.close())
        self._close_bar()
        if self._local is not None:
            with self._local:
                self._upload_events()


class Silent:
    """A `Writer` that writes nothing, for all processes except process 0."""

    def advance(self, steps: int) -> None:
        """Do nothing."""

    def metrics(self, step: int, values: Mapping[str, float], left: float) -> None:
        """Do nothing."""

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def say_last(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def find_thread(package: str) -> threading.Thread | None:
    """Return the newest thread whose class is defined in `package`, or None."""
    threads = [
        thread
        for thread in threading.enumerate()
        if type(thread).__module__.partition(".")[0] == package
    ]
    return threads[-1] if threads else None
