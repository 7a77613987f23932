"""Score a run: `python -m jaxgan.evaluate --workdir=runs/wgan_gp`.

It prints a table, and appends a line to WORKDIR/evaluation.jsonl for each checkpoint.
`wasserstein` is the exact Wasserstein-1 distance, by optimal assignment, from samples
to held-out examples; the distance from training examples is printed with it. `modes`
counts the covered modes of toy sets. `psnr` compares a CycleGAN's translations with the
truth, where it is known.
"""

import sys
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
        upper_bound=10_000_000,
    )
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of the data, if it is no longer the run's data.dir",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Score, print and append; returns 0."""
    import json

    from jaxgan import cli
    from jaxgan.errors import UserError
    from jaxgan.files import storage
    from jaxgan.inference import drawing, scores

    workdir = cli.parse_workdir(values.workdir)
    examples, rows = None, []
    for step in parse_steps(workdir, values.step):
        run = drawing.load_run(workdir, step)
        names = values.metrics or scores.admitted_scores(run.experiment)
        if not names:
            raise UserError(
                f"--workdir = {workdir}: no score for {run.experiment.gan_name} on "
                f"{run.experiment.data_name}, where the truth is not known"
            )
        examples = examples or run.experiment.load_data(values.data_dir)
        rows.append(scores.score_run(run, names, values.num_samples, examples))
        storage.append(workdir / "evaluation.jsonl", json.dumps(rows[-1]) + "\n")
    print(format_table(rows))
    return 0


def parse_steps(workdir: Path, text: str | None) -> list[int | None]:
    """Return the steps that `--step` names; None is the newest sound checkpoint's."""
    from jaxgan.errors import UserError
    from jaxgan.workdir import checkpoint_files

    if text is None:
        return [None]
    if text == "all":
        return list(checkpoint_files.steps_in(workdir / "checkpoints")) or [None]
    # Not isdigit, which takes '²' as well, of which int makes no number.
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise UserError(f"--step = {text}: must be a step's number, or all")
    return [int(text)]


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned text, with their keys as the heading."""
    texts = [[*rows[0]]] + [
        [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in texts
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Score a run; returns the exit code."""
    from jaxgan import cli

    return cli.run(command, define, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
