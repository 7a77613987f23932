"""Draw samples from a checkpoint: `python -m jaxgan.sample --workdir=runs/wgan_gp`.

It needs only the workdir. `--out` determines the format: FILE.png is a grid, FILE.npz
holds the samples as an array (`image`, and `label` for conditional models), and a name
without an ending is a folder of single PNGs.
"""

if __name__ == "__main__":
    from jaxgan.runtime import program

    program.start()  # before the imports that take time

from collections.abc import Sequence

from absl import flags


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_integer(
        "step", None, "step of the checkpoint; the newest if not given",
        flag_values=values, lower_bound=0,
    )  # fmt: skip
    flags.DEFINE_integer(
        "num", 64, "number of samples",
        flag_values=values, lower_bound=1, upper_bound=10**6,
    )  # fmt: skip
    # Below 2^31 as `train.seed`: from 2^32 on, seeds repeat.
    flags.DEFINE_integer(
        "seed", 0, "seed of the latents",
        flag_values=values, lower_bound=0, upper_bound=2**31 - 1,
    )  # fmt: skip
    flags.DEFINE_string(
        "out",
        None,
        "FILE.png (grid), FILE.npz (array) or a folder (single PNGs); "
        "WORKDIR/samples-STEP.png if not given",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "interpolate",
        False,
        "rows of eight steps between two latents instead of independent samples",
        flag_values=values,
    )
    flags.DEFINE_list(
        "labels",
        None,
        "classes for a conditional model, repeated in turn: 0,1,2; all if not given",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Draw and write the samples; returns 0."""
    from jaxgan import cli, command_flags
    from jaxgan.inference import drawing, sample_files

    workdir = command_flags.parse_run(values.workdir)
    target = sample_files.parse_target(values.out) if values.out else None
    run = drawing.load_run(workdir, values.step)
    run.players()  # raises UserError for a CycleGAN
    default = workdir / f"samples-{run.step}.png"
    target = target or sample_files.Target(default, "grid")
    labels = drawing.parse_labels(run, values.labels, values.num)
    sample_files.check_target(target, run, values.num)
    if values.interpolate:
        drawn, labels = drawing.draw_interpolations(run, labels, values.seed)
    else:
        drawn = drawing.draw_samples(run.gan, run.state, labels, values.seed)
    columns = drawing.STEPS_OF_A_ROW if values.interpolate else 0
    sample_files.write_samples(target, run, drawn, labels, columns)
    cli.say(f"{len(drawn)} samples of step {run.step} in {target.path}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Draw samples from a checkpoint; returns the exit code."""
    from jaxgan import cli

    return cli.run(command, define, __doc__ or "", argv)


if __name__ == "__main__":
    from jaxgan import cli

    cli.exit_process(main)
