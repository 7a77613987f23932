"""A warm start: networks of another run, or converted weights, in a new state."""

from pathlib import Path

import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.turns import generator_variables
from jaxgan.types import GanState, Network
from jaxgan.workdir import checkpoint_files


def warm_start(state: GanState, folder: Path) -> GanState:
    """Return `state` with the networks that `folder` holds.

    The optimizers keep their initial state. A moving average, if there is one, starts
    at the loaded weights.

    Args:
        state: the state at step 0.
        folder: a run's workdir, or, for a CycleGAN, a folder of .safetensors files for
            any of its four networks.

    Raises:
        UserError: the folder holds neither, or networks of another shape.
    """
    if not (folder / "checkpoints").is_dir() and any(folder.glob("*.safetensors")):
        state = with_weights(state, folder)
    else:
        state = with_networks(state, folder / "checkpoints")
    if "average" not in state.memory:
        return state
    memory = state.memory | {"average": generator_variables(state)}
    return state.replace(memory=memory)


def with_networks(state: GanState, folder: Path) -> GanState:
    """Return `state` with the networks of a run's newest sound checkpoint."""
    networks = GanState(
        step=state.step,
        generator=state.generator.replace(opt_state=()),
        critic=state.critic.replace(opt_state=()),
    )
    step = checkpoint_files.sound_step(folder)
    other, _ = checkpoint_files.read(folder, step, networks, partial=True)
    return state.replace(
        generator=other.generator.replace(opt_state=state.generator.opt_state),
        critic=other.critic.replace(opt_state=state.critic.opt_state),
    )


def with_weights(state: GanState, folder: Path) -> GanState:
    """Return a CycleGAN's `state` with the weights from the files in a folder."""
    from jaxgan.weights import network_files

    for name, (variables, about) in network_files.load_folder(folder).items():
        network: Network = getattr(state, about["player"])
        if name not in network.params:
            raise UserError(
                f"train.init_from = {folder}: only a CycleGAN starts from weight files"
            )
        for part in ("params", "batch_stats"):
            old = getattr(network, part)
            path = folder / f"{name}.safetensors"
            checkpoint_files.check_fits(
                path,
                checkpoint_files.to_arrays(variables[part]),
                checkpoint_files.to_arrays(old[name]),
            )
            new = jax.tree.map(
                lambda mine, theirs: jnp.asarray(theirs, mine.dtype),
                old[name],
                variables[part],
            )
            network = network.replace(**{part: old | {name: new}})
        state = state.replace(**{about["player"]: network})
    return state
