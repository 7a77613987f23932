"""Train a GAN: `python -m jaxgan.main --config=configs/wgan_gp.py`.

The same command again resumes where the workdir has a checkpoint. A field of the
config is changed with `--config.SECTION.FIELD=VALUE`, a variant of it chosen with
`--config=configs/wgan_gp.py:VARIANT[,key=value...]`.
"""

import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict


def define(values: flags.FlagValues) -> None:
    """Define the verb's flags."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or say what would be trained; returns the exit code."""
    from jaxgan import cli

    return cli.run_with_config(verb, define, __doc__ or "", argv)


def verb(values: flags.FlagValues, config: ConfigDict, name: str) -> int:
    """Train the config in `runs/NAME` or in --workdir; returns the exit code."""
    from jaxgan import checks, cli, process
    from jaxgan.describe import describe
    from jaxgan.train import train

    checks.check(config)
    process.configure(config.train.precision, config.train.deterministic)
    if values.dry_run:
        print(describe(config))
        return 0
    workdir = cli.workdir(values.workdir or f"runs/{name}")
    return train(config, workdir, values.profile)


if __name__ == "__main__":
    sys.exit(main())
