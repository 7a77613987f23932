"""Checks before data is read or memory is taken: do the networks and the run fit?

They take less than a second, because nothing is computed or compiled: JAX only follows
the shapes (`jax.eval_shape`).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
from flax.traverse_util import flatten_dict

from jaxgan.errors import UserError, printable
from jaxgan.experiment import memory
from jaxgan.experiment.experiment import FAMILIES, Experiment
from jaxgan.experiment.feed import Feed


def check_run(
    experiment: Experiment, devices: Sequence[jax.Device], feed: Feed | None = None
) -> None:
    """Check that the networks fit the examples, and that the run fits the memory.

    Called twice: before the data is read, where the shape of its examples follows from
    the config, and once it is read, which does the rest: also where examples are to be
    kept on the devices, as their size is known then.

    Args:
        experiment: what to check.
        devices: those to train on, of all processes.
        feed: the data, once it is read.

    Raises:
        UserError: a network cannot take the examples, or the run needs more memory
            than there is.
    """
    known = FAMILIES[experiment.family].known_shape(experiment.values)
    device_data = feed.device_data if feed else None
    if (known is None) == (feed is None) and not device_data:
        return
    shape = feed.shape if feed else known
    classes = feed.num_classes if feed else memory.SOME_CLASSES
    layers = check_shapes(experiment, shape, classes)
    parts = memory.estimate(experiment, shape, classes, layers, devices, device_data)
    memory.check(experiment, parts, devices)


def check_shapes(
    experiment: Experiment, shape: tuple[int, ...], num_classes: int
) -> dict[str, list[int]]:
    """Check the networks on examples of `shape`, and return the sizes of their layers.

    Returns:
        for 'generator' and 'critic' the numbers of elements that each convolution or
        linear layer puts out for one example.

    Raises:
        UserError: a network cannot take examples of this shape, or it makes others, or
            scores no patch of them.
    """
    networks = experiment.networks(shape, num_classes).without_axis()
    inputs = FAMILIES[experiment.family].network_inputs(networks)
    layers = {}
    for player, arguments in inputs.items():
        module = getattr(networks, player)
        try:
            output, layers[player] = _follow_shapes(module, arguments)
        except Exception as error:  # JAX and Flax raise errors of many types
            reason = printable(f"{type(error).__name__}: {error}")
            text = f"cannot take {_describe(shape)} ({reason})"
            raise UserError(_network_error(experiment, player, text)) from error
        if player == "generator" and output[1:] != shape:
            text = f"makes {output[1:]}, must make {shape}"
            raise UserError(_network_error(experiment, player, text))
        if math.prod(output) == 0:
            text = f"has no output for {_describe(shape)}; must have larger ones, or "
            text += "fewer layers"
            raise UserError(_network_error(experiment, player, text))
    return layers


def _follow_shapes(
    module: Any, arguments: tuple[Any, ...]
) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape of a module's output, and how many elements its layers make.

    Args:
        module: a generator or a critic.
        arguments: its inputs for two examples, as shapes and types.

    Returns:
        The shape [2, ...] of the (first) output; for each layer with a kernel the
        number of elements for one example.
    """

    def run(*inputs: Any) -> Any:
        return module.init_with_output(
            jax.random.key(0),
            *inputs,
            train=True,
            mutable=True,
            capture_intermediates=True,
        )

    outputs, variables = jax.eval_shape(run, *arguments)
    names = flatten_dict(variables["params"])
    layers = {path[:-1] for path in names if path[-1] == "kernel"}
    made = flatten_dict(variables["intermediates"])  # {(*layer, '__call__'): (output,)}
    sizes = [out[0].size // 2 for path, out in made.items() if path[:-1] in layers]
    return jax.tree.leaves(outputs)[0].shape, sizes


def _describe(shape: tuple[int, ...]) -> str:
    # Without the channels, which may not be known yet.
    return f"{shape[0]}x{shape[1]} images" if len(shape) == 3 else f"points {shape}"


def _network_error(experiment: Experiment, player: str, text: str) -> str:
    """Return 'data.image_size = 4: critic.name = patch (...) TEXT'."""
    values = experiment.values
    name = values[f"{player}.name"]
    depth = ""
    if player == "critic" and name == "patch":
        depth = f" (critic.num_layers = {values['critic.num_layers']})"
    return (
        f"data.image_size = {values['data.image_size']}: {player}.name = {name}{depth} "
        f"{text}"
    )
