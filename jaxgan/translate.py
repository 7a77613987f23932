"""Translate images: `python -m jaxgan.translate --workdir=runs/cyclegan --input=photos
--output=translated --direction=a2b`, or with `--weights=FILE` instead of a workdir.

Images of any size, kind and depth, whole and at full resolution; folders with all their
subfolders. PNG, TIFF and BMP keep their format, all others become PNG; 16-bit images
stay 16-bit, gray ones become what the network makes: RGB, if it was trained on colour.
What is transparent is laid on white, and an orientation tag is followed.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags


def define(values: flags.FlagValues) -> None:
    """Define the verb's flags."""
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_string(
        "weights",
        None,
        "instead of --workdir: a generator's FILE.safetensors, or upstream's FILE.pth",
        flag_values=values,
    )
    flags.DEFINE_string("input", None, "image, or folder of them", flag_values=values)
    flags.DEFINE_string("output", None, "folder to write to", flag_values=values)
    flags.DEFINE_string(
        "direction",
        None,
        "a2b or b2a; needed with --workdir, a file of weights holds one alone",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "step", None, "step of the checkpoint; the newest if not given",
        flag_values=values, lower_bound=0,
    )  # fmt: skip


def verb(values: flags.FlagValues) -> int:
    """Translate the images; returns 0, 2 if not all, or 128 + a signal's number."""
    from jaxgan import cli
    from jaxgan.files import image_folders
    from jaxgan.inference import translation
    from jaxgan.runtime.signals import StopSignals

    check(values)
    given, output = Path(values.input), Path(values.output)
    targets = image_folders.translation_files(given, output, say)
    with StopSignals() as signals:
        generator = load(values)
        # Now, rather than after the first image: it may not be allowed.
        output.mkdir(parents=True, exist_ok=True)
        with Progress(len(targets)) as progress:
            outcome = translation.translate_files(
                translation.Translation(generator, progress.say),
                targets,
                progress.advance,
                lambda: signals.received != 0,
            )
    for note, paths in outcome.notes.items():
        say(f"{note}: {listed(paths)}")
    say(f"{outcome.done} of {len(targets)} images by {generator.title} in {output}")
    code = 0
    if outcome.failed:
        count = f"{len(outcome.failed)} of {len(targets)} images not translated"
        code = cli.failed(f"{count}: {'; '.join(outcome.failed)}", 2)
    if signals.received and outcome.done + len(outcome.failed) < len(targets):
        name = signal.Signals(signals.received).name
        say(f"stopped by {name}; the same command begins anew")
        code = 128 + signals.received
    return code


def check(values: flags.FlagValues) -> None:
    """Raise UserError for flags that are missing, unknown or contradict one another."""
    from jaxgan import cli
    from jaxgan.errors import UserError

    if bool(values.workdir) == bool(values.weights):
        found = "both" if values.workdir else "none"
        raise UserError(f"--workdir or --weights: needed is one of them, found {found}")
    if values.workdir and not cli.workdir(values.workdir).is_dir():
        raise UserError(f"--workdir = {values.workdir}: no such folder")
    if values.weights and Path(values.weights).is_dir():
        raise UserError(
            f"--weights = {values.weights}: is a folder; must be a file, or given as "
            "--workdir if a run's"
        )
    for name in ("input", "output"):
        text = values[name].value
        if not text:
            raise UserError(f"--{name}: needed")
    for name in ("input", "output", "weights"):
        if "://" in (values[name].value or ""):
            raise UserError(f"--{name} = {values[name].value}: must be on this machine")
    if values.workdir and not values.direction:
        raise UserError("--direction: needed, a2b or b2a")
    if values.direction not in (None, "", "a2b", "b2a"):
        raise UserError(f"--direction = {values.direction}: must be a2b or b2a")
    if values.weights and values.step is not None:
        raise UserError(f"--step = {values.step}: belongs to --workdir")


def load(values: flags.FlagValues) -> Any:
    """Return the generator that the flags name."""
    from jaxgan import cli
    from jaxgan.inference import translation

    if values.workdir:
        workdir = cli.workdir(values.workdir)
        return translation.of_run(workdir, values.direction, values.step)
    return translation.of_weights(Path(values.weights), values.direction)


def say(text: str) -> None:
    """Print a line."""
    print(f"jaxgan: {text}", flush=True)


def listed(paths: Sequence[Path]) -> str:
    """Return 'a.png', or 'a.png and 11 more'."""
    return f"{paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


class Progress:
    """A bar on a terminal; a line at every tenth of the images where there is none."""

    def __init__(self, total: int):
        self.total, self.count = total, 0
        self.bar: Any = None
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, unit="image")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(f"jaxgan: {text}")
        else:
            say(text)

    def advance(self) -> None:
        """Count one image more."""
        self.count += 1
        if self.bar is not None:
            self.bar.update()
        elif self.count * 10 // self.total > (self.count - 1) * 10 // self.total:
            say(f"{self.count} of {self.total} images")


def main(argv: Sequence[str] | None = None) -> int:
    """Translate images; returns the exit code."""
    from jaxgan import cli

    return cli.run(verb, define, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
