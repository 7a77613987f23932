"""One trained network of a CycleGAN, read from the workdir of its run."""

from pathlib import Path
from typing import Any

from jaxgan.errors import UserError, unknown
from jaxgan.experiment import stored
from jaxgan.types import PyTree
from jaxgan.weights import network_files
from jaxgan.workdir import checkpoint_files


def network(
    workdir: Path, name: str, step: int | None = None
) -> tuple[PyTree, dict[str, Any], int]:
    """Return (variables, about, step) of one network of a run.

    `variables` and `about` are those of `weights.network_files`. A generator's
    variables are its moving average if the run keeps one.

    Args:
        workdir: folder of the run; its data is not needed.
        name: 'a2b', 'b2a', 'a' or 'b'.
        step: step of the checkpoint; None is the newest undamaged one.

    Raises:
        UserError: the run is not a CycleGAN's, there is no such network or checkpoint,
            or the checkpoint is damaged.
    """
    experiment = stored.load(workdir)
    if experiment.family != "translation":
        raise UserError(
            f"{workdir}: a run of {experiment.gan_name}, which has no domains; must be "
            "a run of a CycleGAN"
        )
    if name not in network_files.NAMES:
        raise unknown("--network", name, network_files.NAMES)
    player = network_files.NAMES[name]
    folder = workdir / "checkpoints"
    step = checkpoint_files.sound_step(folder, step)
    shape = tuple(checkpoint_files.read_loop(folder, step)["shape"])
    definition = experiment.network_definition(player, shape)
    about = {"player": player, "name": name, "network": definition}
    # Only this network's part of the checkpoint is read.
    shapes: Any = {
        part: {name: tree} for part, tree in network_files.shapes(about).items()
    }
    average = player == "generator" and experiment.has_average
    wanted: Any = {"memory": {"average": shapes}} if average else {player: shapes}
    state: Any = checkpoint_files.read(folder, step, wanted, partial=True)[0]
    networks = state["memory"]["average"] if average else state[player]
    variables = {part: tree[name] for part, tree in networks.items()}
    return variables, about, step
