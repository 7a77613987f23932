"""Translate images: `python -m jaxgan.translate --workdir=runs/cyclegan --input=photos
--output=translated --direction=a2b`, or with `--weights=FILE` instead of a workdir.

Images may have any size, format and bit depth, and are translated whole, at full
resolution; folders are taken with all their subfolders. PNG, TIFF and BMP files keep
their format, all others become PNG. 16-bit images stay 16-bit. The network decides
between gray and RGB: if it was trained on colour, gray images become RGB. Transparent
parts are laid on white, and an orientation tag is applied.
"""

if __name__ == "__main__":
    from jaxgan.runtime import program

    program.start()  # before the imports that take time

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from jaxgan.runtime import streams

if TYPE_CHECKING:
    from jaxgan.inference.generators import TrainedGenerator


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_string(
        "weights",
        None,
        "instead of --workdir: file of a generator, FILE.safetensors, or FILE.pth of "
        "the official code",
        flag_values=values,
    )
    flags.DEFINE_string("input", None, "image, or folder of them", flag_values=values)
    flags.DEFINE_string("output", None, "folder to write to", flag_values=values)
    flags.DEFINE_string(
        "direction",
        None,
        "a2b or b2a; needed with --workdir, as a file of weights holds only one",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "step", None, "step of the checkpoint; the newest if not given",
        flag_values=values, lower_bound=0,
    )  # fmt: skip


def command(values: flags.FlagValues) -> int:
    """Translate the images; returns the exit code.

    0: all were translated; 2: not all; 128 + N: stopped by signal N.
    """
    from jaxgan import cli, command_flags
    from jaxgan.files import image_folders, storage
    from jaxgan.inference import generators
    from jaxgan.runtime.signals import StopSignals

    streams.let_output_fail()
    check_flags(values)
    given, output = (
        command_flags.parse_local_path(values, "input"),
        command_flags.parse_local_path(values, "output"),
    )
    targets = image_folders.translation_files(given, output, say)
    generator = load_generator(values)
    # Before the first translation, so that a folder that may not be written to is
    # reported at once.
    storage.make_folder(output, "--output")
    words = "stopping after the image at hand", "the images before it are kept"
    with StopSignals(*words) as signals, Progress(len(targets)) as progress:
        outcome = generators.translate_files(
            generators.Translator(generator, progress.say),
            targets,
            progress.advance,
            lambda: signals.check() != 0,
        )
    for note, paths in outcome.notes.items():
        say(f"{note}: {summary(paths)}")
    say(f"{outcome.done} of {len(targets)} images by {generator.title} in {output}")
    code = 0
    if outcome.failed:
        count = f"{len(outcome.failed)} of {len(targets)} images not translated"
        code = cli.print_error(f"{count}: {'; '.join(outcome.failed)}", 2)
    if signals.number and outcome.done + len(outcome.failed) < len(targets):
        name = signal.Signals(signals.number).name
        say(f"stopped by {name}; the same command starts from the beginning")
        code = 128 + signals.number
    return code


def check_flags(values: flags.FlagValues) -> None:
    """Raise UserError for flags that are missing, unknown or contradict one another."""
    from jaxgan import command_flags
    from jaxgan.errors import UserError, printable

    if bool(values.workdir) == bool(values.weights):
        found = "both" if values.workdir else "none"
        raise UserError(f"--workdir or --weights: one of them is needed, found {found}")
    for name in ("input", "output"):
        if not values[name].value:
            raise UserError(f"--{name}: needed, {values[name].help}")
        command_flags.parse_local_path(values, name)
    if values.workdir:
        command_flags.parse_run(values.workdir)
    elif command_flags.parse_local_path(values, "weights").is_dir():
        raise UserError(
            f"--weights = {printable(values.weights)}: is a folder; must be a file "
            "(the folder of a run is given by --workdir)"
        )
    if values.workdir and not values.direction:
        raise UserError("--direction: needed, a2b or b2a")
    if values.direction not in (None, "", "a2b", "b2a"):
        found = printable(values.direction)
        raise UserError(f"--direction = {found}: must be a2b or b2a")
    if values.weights and values.step is not None:
        raise UserError(f"--step = {values.step}: belongs to --workdir")


def load_generator(values: flags.FlagValues) -> "TrainedGenerator":
    """Return the generator that the flags name."""
    from jaxgan import command_flags
    from jaxgan.inference import generators

    if values.workdir:
        workdir = command_flags.parse_workdir(values.workdir)
        return generators.load_from_run(workdir, values.direction, values.step)
    return generators.load_from_file(
        command_flags.parse_local_path(values, "weights"), values.direction
    )


def say(text: str) -> None:
    """Print a line."""
    from jaxgan import cli

    cli.say(text)


def summary(paths: Sequence[Path]) -> str:
    """Return 'a.png', or 'a.png and 11 more'."""
    return f"{paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


class Progress:
    """A bar on a terminal, or else a line after each tenth of the images."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0
        self.bar: Any = None
        if streams.is_terminal(sys.stderr):
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
        from jaxgan.errors import printable

        if self.bar is not None:
            self.bar.write(f"jaxgan: {printable(text, 2000)}")
        else:
            say(text)

    def advance(self) -> None:
        """Count one more image."""
        self.count += 1
        if self.bar is not None:
            self.bar.update()
        elif self.count * 10 // self.total > (self.count - 1) * 10 // self.total:
            say(f"{self.count} of {self.total} images")


def main(argv: Sequence[str] | None = None) -> int:
    """Translate images; returns the exit code."""
    from jaxgan import cli

    return cli.run(command, define, __doc__ or "", argv)


if __name__ == "__main__":
    from jaxgan import cli

    cli.exit_process(main)
