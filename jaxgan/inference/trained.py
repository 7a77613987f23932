"""One network of a CycleGAN's run, read from its workdir alone."""

from pathlib import Path
from typing import Any

from jaxgan.errors import UserError, unknown
from jaxgan.experiment import stored, translation_family
from jaxgan.types import PyTree
from jaxgan.weights import network_files
from jaxgan.workdir import checkpoint_files


def network(
    workdir: Path, name: str, step: int | None = None
) -> tuple[PyTree, dict[str, Any], int]:
    """Return a network's variables, what it is (as in `weights`), and its step.

    A generator's are the moving average where the run keeps one.

    Args:
        workdir: of the run; its data is not needed.
        name: 'a2b', 'b2a', 'a' or 'b'.
        step: of the checkpoint; the newest sound one if None.

    Raises:
        UserError: no CycleGAN's run, no such network or checkpoint, or a damaged one.
    """
    experiment = stored.load(workdir)
    if experiment.family != "translation":
        raise UserError(
            f"{workdir}: a run of {experiment.gan_name}, which has no domains; must be "
            "that of a CycleGAN"
        )
    if name not in network_files.NAMES:
        raise unknown("--network", name, network_files.NAMES)
    player = network_files.NAMES[name]
    folder = workdir / "checkpoints"
    step = checkpoint_files.sound_step(folder, step)
    shape = tuple(checkpoint_files.read_loop(folder, step)["shape"])
    definition = translation_family.network_definition(experiment.values, player, shape)
    about = {"player": player, "name": name, "network": definition}
    of_one: Any = {
        part: {name: tree} for part, tree in network_files.shapes(about).items()
    }
    average = player == "generator" and experiment.has_average
    like: Any = {"memory": {"average": of_one}} if average else {player: of_one}
    state: Any = checkpoint_files.read(folder, step, like, partial=True)[0]
    found = state["memory"]["average"] if average else state[player]
    variables = {part: tree[name] for part, tree in found.items()}
    return variables, about, step
