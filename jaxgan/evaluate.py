"""Score a run: `python -m jaxgan.evaluate --workdir=runs/wgan_gp`.

It prints a table, and appends a line to WORKDIR/evaluation.jsonl for each checkpoint.
Where that file cannot be written, the table is printed all the same, and the exit code
is 1.
`wasserstein` is the exact Wasserstein-1 distance, by optimal assignment, from samples
to held-out examples; the distance from training examples is printed with it. `modes`
counts the covered modes of toy sets. `psnr` compares a CycleGAN's translations with the
truth, where it is known.
"""

if __name__ == "__main__":
    from jaxgan.runtime import program

    program.start()  # before the imports that take time

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

MOST_DIGITS = 10  # of a step


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_string(
        "step",
        None,
        "step of the checkpoint, or all; the newest if not given",
        flag_values=values,
    )
    flags.DEFINE_list(
        "metrics",
        None,
        "wasserstein, modes, psnr; all that apply to the data if not given",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_samples",
        2000,
        "number of samples; wasserstein takes at most one per held-out example",
        flag_values=values,
        lower_bound=2,
        upper_bound=10**6,
    )
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of the data, if it is no longer the run's data.dir",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Score, append and print; returns 0, or 1 if the file could not be written."""
    from jaxgan import cli, command_flags
    from jaxgan.experiment import stored
    from jaxgan.inference import drawing, scores

    workdir = command_flags.parse_run(values.workdir)
    steps = parse_steps(workdir, values.step)
    names = scores.choose_scores(stored.load(workdir), values.metrics)
    examples: Any = None
    rows: list[dict[str, Any]] = []
    problem = ""
    try:
        for step in steps:
            run = drawing.load_run(workdir, step)
            if examples is None:
                examples = scores.load_examples(run, values.data_dir)
            rows.append(scores.score_run(run, names, values.num_samples, examples))
            problem = problem or save_row(workdir / "evaluation.jsonl", rows[-1])
    finally:  # whatever happens to the next checkpoint, or to the file
        if rows:
            print(format_table(rows), flush=True)
    return cli.print_error(problem, 1) if problem else 0


def save_row(path: Path, row: dict[str, Any]) -> str:
    """Append a line of scores to a file; return '', or what was in the way.

    A disk that is full or read-only must not cost what took minutes to compute.
    """
    import json

    from jaxgan.files import storage

    try:
        storage.append(path, json.dumps(row, allow_nan=False) + "\n")
    except (OSError, storage.WriteFailed) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"{path}: {reason}; the scores are printed, but not kept in this file"
    return ""


def parse_steps(workdir: Path, text: str | None) -> list[int | None]:
    """Return the steps that `--step` names; None is the newest sound checkpoint's."""
    from jaxgan.errors import UserError, printable
    from jaxgan.workdir import checkpoint_files

    if text is None:
        return [None]
    if text == "all":
        return list(checkpoint_files.steps_in(workdir / "checkpoints")) or [None]
    if not re.fullmatch("[0-9]{1,18}", text):
        raise UserError(f"--step = {printable(text)}: must be a step's number, or all")
    return [int(text)]


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned text, with their keys as the heading; None is '-'."""

    def cell(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    texts = [[*rows[0]]] + [[*map(cell, row.values())] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in texts
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Score a run; returns the exit code."""
    from jaxgan import cli

    return cli.run(command, define, __doc__ or "", argv)


if __name__ == "__main__":
    from jaxgan import cli

    cli.exit_process(main)
