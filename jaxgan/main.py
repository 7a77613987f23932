"""Train a GAN: `python -m jaxgan.main --config=configs/wgan_gp.py`.

If the workdir has a checkpoint, the same command resumes the run. Change a field of the
config with `--config.SECTION.FIELD=VALUE`, and choose a variant of the config with
`--config=configs/wgan_gp.py:VARIANT[,key=value...]`.
"""

if __name__ == "__main__":
    from jaxgan.runtime import program

    program.start()  # before the imports that take time

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

if TYPE_CHECKING:
    from jaxgan.experiment import Experiment


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string(
        "config",
        None,
        "config file, with an optional variant: FILE.py[:VARIANT[,key=value...]]",
        flag_values=values,
    )
    flags.DEFINE_string(
        "workdir",
        None,
        "folder of the run; runs/CONFIG[-VARIANT] if not given",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "print the config, the parameters and the devices; train nothing",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "profile",
        False,
        "write a trace of three calls to WORKDIR/profile, for TensorBoard and Perfetto",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "allow_changed_data",
        False,
        "resume although the data is not the one that the run was trained on",
        flag_values=values,
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "with several processes: HOST:PORT where process 0 listens",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_processes",
        None,
        "with several processes: how many there are",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "process_id",
        None,
        "with several processes: number of this process, from 0",
        lower_bound=0,
        flag_values=values,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or print what would be trained; returns the exit code."""
    from jaxgan import cli

    return cli.run_with_config(command, define, __doc__ or "", argv)


def command(values: flags.FlagValues, experiment: "Experiment", name: str) -> int:
    """Train in --workdir, by default `runs/NAME`; returns the exit code."""
    from jaxgan import command_flags
    from jaxgan.errors import UserError
    from jaxgan.experiment.describe import describe
    from jaxgan.files import storage
    from jaxgan.runtime import devices, precision, streams
    from jaxgan.runtime.rendezvous import connect_processes
    from jaxgan.train import train
    from jaxgan.workdir.start_state import check_init_from
    from jaxgan.workdir.startup import check_same_command

    # Set before the first computation, after which neither can change.
    precision.configure(experiment.precision, experiment.deterministic)
    text = values.workdir or f"runs/{name}"
    workdir = command_flags.parse_workdir(text)
    if values.dry_run:
        described = describe(experiment)
        check_init_from(experiment)
        print(described)
        return 0
    if values.profile and storage.is_remote(workdir):
        raise UserError(f"--profile: needs a --workdir on this machine, not {text}")
    streams.let_output_fail()
    with connect_processes(place(values), experiment.wait_seconds) as link:
        check_same_command(experiment.fields, text, link)
        code = train(
            experiment, workdir, values.profile, link, values.allow_changed_data
        )
        devices.stop_distributed(link)
        return code


def place(values: flags.FlagValues) -> Any:
    """Return this process's place among several, or None if it is the only one.

    Raises:
        UserError: some of the three flags are missing, or do not fit together.
    """
    from jaxgan.errors import UserError
    from jaxgan.runtime.processes import ProcessSpec

    given = values.coordinator, values.num_processes, values.process_id
    if all(value is None for value in given):
        return None
    names = ("--coordinator", "--num_processes", "--process_id")
    missing = [n for n, value in zip(names, given, strict=True) if value is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: missing; give all of {', '.join(names)}"
        )
    if values.process_id >= values.num_processes:
        raise UserError(
            f"--process_id = {values.process_id}: must be below --num_processes = "
            f"{values.num_processes}"
        )
    return ProcessSpec(*given)


if __name__ == "__main__":
    from jaxgan import cli

    cli.exit_process(main)
