"""A warm start: networks of another run, or from files of weights, in a new state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.errors import UserError, printable
from jaxgan.experiment import Experiment, stored
from jaxgan.files import storage
from jaxgan.turns import generator_variables
from jaxgan.types import GanState, PyTree
from jaxgan.workdir import checkpoint_files

# {'generator': {'params': {...}, 'batch_stats': {...}}, 'critic': ...}: the networks
# that replace those of a new state; of a CycleGAN, any of its four.
Networks = dict[str, dict[str, PyTree]]
WHAT_IS_RIGHT = (
    "must be a run's workdir, a .safetensors file, a .pth file of the official code, "
    "or a folder of such files"
)
# Options of a network that change what it computes, but not the shapes of its arrays.
SAME_SHAPES = ("block", "upsample")


def read_networks(
    experiment: Experiment, like: GanState, shape: tuple[int, ...]
) -> Networks:
    """Return the networks that `train.init_from` names, checked to fit a state.

    Args:
        experiment: whose `init_from` is not empty: a run's workdir; or for a CycleGAN a
            file of weights, or a folder of them for any of its four networks.
        like: the state at step 0, or only its shapes.
        shape: (h, w, c) of the run's images.

    Raises:
        UserError: there is no such file or folder, it holds neither, or its networks
            are others than the config's.
    """
    path = storage.checked_path(experiment.init_from, "train.init_from")
    try:
        if (path / "checkpoints").is_dir():
            _check_run(experiment, path, shape)
            return _of_run(like, path / "checkpoints")
        networks: Networks = {}
        for name, (variables, about) in _of_files(path).items():
            _check_network(experiment, like, shape, name, variables, about)
            player = about["player"]
            parts = networks.setdefault(player, {"params": {}, "batch_stats": {}})
            for part, trees in parts.items():
                trees[name] = variables[part]
    except UserError as error:
        raise UserError(f"train.init_from = {printable(path)}: {error}") from error
    return networks


def warm_start(state: GanState, networks: Networks) -> GanState:
    """Return `state` with the networks that `read_networks` found.

    The optimizers keep their initial state. A moving average, if there is one, starts
    at the loaded weights.
    """
    for player, parts in networks.items():
        network = getattr(state, player)
        for part, trees in parts.items():
            old = getattr(network, part)
            new = {
                name: jax.tree.map(
                    lambda mine, theirs: jnp.asarray(theirs, mine.dtype),
                    old[name],
                    tree,
                )
                for name, tree in trees.items()
            }
            network = network.replace(**{part: {**old, **new}})
        state = state.replace(**{player: network})
    if "average" not in state.memory:
        return state
    memory = state.memory | {"average": generator_variables(state)}
    return state.replace(memory=memory)


def _of_run(like: GanState, folder: Path) -> Networks:
    """Return both networks of a run's newest sound checkpoint."""
    networks = GanState(
        step=like.step,
        generator=like.generator.replace(opt_state=()),
        critic=like.critic.replace(opt_state=()),
    )
    step = checkpoint_files.sound_step(folder)
    other, _ = checkpoint_files.read(folder, step, networks, partial=True)
    return {
        player: {"params": network.params, "batch_stats": network.batch_stats}
        for player, network in (
            ("generator", other.generator),
            ("critic", other.critic),
        )
    }


def _of_files(path: Path) -> dict[str, tuple[PyTree, dict[str, Any]]]:
    """Return {'a2b': (variables, about), ...} of a file of weights, or of a folder."""
    # Not above: only this needs the package safetensors.
    from jaxgan.weights import network_folders

    if not path.exists():
        raise UserError(f"no such file or folder; {WHAT_IS_RIGHT}")
    if storage.is_remote(path):
        raise UserError(
            "holds no checkpoints; files of weights must be on this machine"
        )
    if path.is_dir():
        if not network_folders.find_files(path):
            names = sorted(printable(p.name, 40) for p in path.iterdir())
            more = ", ..." if len(names) > 5 else ""
            holds = f"holds only {', '.join(names[:5])}{more}" if names else "is empty"
            raise UserError(f"{holds}; {WHAT_IS_RIGHT}")
        return network_folders.load_folder(path)
    if path.suffix.lower() not in network_folders.ENDINGS:
        raise UserError(f"is no file of weights; {WHAT_IS_RIGHT}")
    name, variables, about = network_folders.load_named(path)
    return {name: (variables, about)}


def _check_network(
    experiment: Experiment,
    like: GanState,
    shape: tuple[int, ...],
    name: str,
    variables: PyTree,
    about: Mapping[str, Any],
) -> None:
    """Raise UserError if a network from a file is another one than the config's."""
    player = about["player"]
    network = getattr(like, player)
    if name not in network.params:
        raise UserError("only a CycleGAN starts from files of weights")
    for part in ("params", "batch_stats"):
        checkpoint_files.check_fits(
            Path(name),
            checkpoint_files.to_arrays(variables[part]),
            checkpoint_files.to_arrays(getattr(network, part)[name]),
        )
    mine = experiment.network_definition(player, shape)
    _check_function(name, player, about["network"], mine)


def _check_run(experiment: Experiment, workdir: Path, shape: tuple[int, ...]) -> None:
    """Raise UserError if another run's networks compute something else."""
    if experiment.family != "translation" or not (workdir / "config.json").exists():
        return
    other = stored.load(workdir)
    if other.family != "translation":
        return  # whose arrays do not fit
    theirs = other.network_definition("generator", shape)
    mine = experiment.network_definition("generator", shape)
    _check_function("it", "generator", theirs, mine)


def _check_function(
    name: str, player: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]
) -> None:
    """Raise UserError if two definitions differ in one of SAME_SHAPES."""
    for option in SAME_SHAPES:
        found, wanted = theirs.get(option), mine.get(option)
        if found is not None and wanted is not None and found != wanted:
            raise UserError(
                f"{name} has {option} = {printable(found)}, and {player}.{option} = "
                f"{wanted}; both must be the same"
            )
