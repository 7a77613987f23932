"""Convert weights: `python -m jaxgan.convert --input=G.pth --output=G.safetensors`.

Converts .pth files of the official PyTorch code (of any year; PyTorch is not needed) to
.safetensors, whose metadata holds the network's definition, and back. Also converts a
network of a run: `--input=WORKDIR --network=a2b`. The names of the official code are
G_A (here a2b), G_B (b2a), D_A (b) and D_B (a).
"""

if __name__ == "__main__":
    from jaxgan.runtime import program

    program.start()  # before the imports that take time

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string(
        "input",
        None,
        "FILE.pth, FILE.safetensors, or the workdir of a CycleGAN run",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output", None, "FILE.safetensors or FILE.pth", flag_values=values
    )
    flags.DEFINE_string(
        "network",
        None,
        "with a workdir: a2b, b2a (the moving average if the run keeps one), a or b",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "step", None, "with a workdir: step of the checkpoint; the newest if not given",
        flag_values=values, lower_bound=0,
    )  # fmt: skip
    flags.DEFINE_string(
        "padding",
        None,
        "replicate or reflect: padding of a ResNet in FILE.pth, which its keys do not "
        "tell",
        flag_values=values,
    )


def command(values: flags.FlagValues) -> int:
    """Read, convert and write; returns 0."""
    from jaxgan import cli
    from jaxgan.weights import official_networks

    source, target = paths(values)
    if source.is_dir():
        variables, about = load_from_run(source, values)
    else:
        variables, about = load_from_file(source, values)
    count = write_network(target, variables, about)
    words = official_networks.description(about["network"])
    name = f" {about['name']}" if about["name"] else ""
    cli.say(f"{about['player']}{name}, {words}: {count:,} parameters in {target}")
    return 0


def paths(values: flags.FlagValues) -> tuple[Path, Path]:
    """Return the paths to read and to write, checked; raises UserError."""
    from jaxgan import command_flags
    from jaxgan.errors import UserError, printable
    from jaxgan.files import storage

    if not values.input:
        raise UserError("--input: needed, FILE.pth, FILE.safetensors or a workdir")
    if not values.output:
        raise UserError("--output: needed, FILE.safetensors or FILE.pth")
    if "://" in values.input and not storage.is_remote(values.input):
        raise UserError(f"--input = {printable(values.input)}: must be on this machine")
    source = storage.checked_path(values.input, "--input")
    target = command_flags.parse_local_path(values, "output")
    found = f"--output = {printable(target)}"
    if storage.is_remote(source) and not source.is_dir():
        raise UserError(
            f"--input = {printable(source)}: only a run's workdir may be in a bucket"
        )
    if not source.exists():
        raise UserError(f"--input = {printable(source)}: no such file or folder")
    if target.suffix.lower() not in (".safetensors", ".pth"):
        raise UserError(f"{found}: must end in .safetensors or .pth")
    if target.is_dir():
        raise UserError(f"{found}: is a folder; give a file's name")
    if target.exists() and target.samefile(source):
        raise UserError(f"{found}: is the input, which is kept")
    return source, target


def load_from_run(
    workdir: Path, values: flags.FlagValues
) -> tuple[Any, dict[str, Any]]:
    """Return (variables, about) of a network of a run; raises UserError."""
    from jaxgan import cli
    from jaxgan.errors import UserError
    from jaxgan.inference import trained
    from jaxgan.weights.network_files import NAMES

    if not values.network:
        raise UserError(
            f"--network: needed with the workdir {workdir}; valid: {', '.join(NAMES)}"
        )
    if values.padding:
        raise UserError(f"--padding = {values.padding}: the run in {workdir} knows it")
    variables, about, step = trained.network(workdir, values.network, values.step)
    cli.say(f"{values.network} of step {step} in {workdir}")
    return variables, about


def load_from_file(path: Path, values: flags.FlagValues) -> tuple[Any, dict[str, Any]]:
    """Return (variables, about) of the network in a file; raises UserError."""
    from jaxgan.errors import UserError, unknown
    from jaxgan.weights import network_files, official_networks

    for flag in ("network", "step"):
        if values[flag].value is not None:
            raise UserError(
                f"--{flag} = {values[flag].value}: needs a workdir as --input, "
                f"{path} is a file"
            )
    variables, about = network_files.load(path)
    network = about["network"]
    assumed = (
        path.suffix.lower() != ".safetensors"
        and official_networks.padding_is_assumed(network)
    )
    if values.padding:
        if values.padding not in ("reflect", "replicate"):
            raise unknown("--padding", values.padding, ("reflect", "replicate"))
        if not assumed:
            raise UserError(
                f"--padding = {values.padding}: {path} leaves no choice of it"
            )
        network["padding"] = values.padding
    elif assumed:
        print(
            "jaxgan: padding reflect assumed, the official default; a network trained "
            "with replicate has the same keys: give --padding=replicate"
        )
    return variables, about


def write_network(path: Path, variables: Any, about: dict[str, Any]) -> int:
    """Write a network to a file, all or nothing; returns its number of parameters."""
    import jax

    from jaxgan.files import storage
    from jaxgan.weights import network_files, official_networks, torch_files

    storage.make_folder(path.parent, "--output")
    with storage.whole_file(path) as temporary:
        if path.suffix.lower() == ".pth":
            tensors = official_networks.to_torch(variables, about["network"])
            torch_files.write(temporary, tensors)
        else:
            network_files.save(temporary, variables, about)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def main(argv: Sequence[str] | None = None) -> int:
    """Convert weights; returns the exit code."""
    from jaxgan import cli

    return cli.run(command, define, __doc__ or "", argv)


if __name__ == "__main__":
    from jaxgan import cli

    cli.exit_process(main)
