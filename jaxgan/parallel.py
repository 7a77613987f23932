"""Devices: the scanned step on one of them, or on several by pmap.

Only this module knows of `pmap`. The state goes in and comes out as on one device.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from jaxgan.errors import UserError
from jaxgan.types import Batch, Gan, GanState, Key, Metrics

AXIS = "device"
StepFunction = Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]


def choose_devices(requested: int, batch_size: int) -> list[jax.Device]:
    """Return the devices to use: `requested`, or with 0 as many as divide the batch.

    Raises:
        UserError: more than there are, or a number that does not divide the batch.
    """
    available = jax.local_devices()
    if not requested:
        count = max(n for n in range(1, len(available) + 1) if batch_size % n == 0)
        return available[:count]
    if requested > len(available):
        raise UserError(
            f"parallel.devices = {requested}: this machine has {len(available)}"
        )
    if batch_size % requested:
        raise UserError(
            f"parallel.devices = {requested}: does not divide data.batch_size = "
            f"{batch_size}"
        )
    return available[:requested]


def axis_name(devices: list[jax.Device]) -> str | None:
    """Return the mapped axis that a Gan is built with: None on one device."""
    return AXIS if len(devices) > 1 else None


def compile_steps(gan: Gan, devices: list[jax.Device]) -> StepFunction:
    """Return `steps(state, batch, key)`, which takes one step for each of a call's.

    Leaves of the batch are [steps, n_critic, b, ...]; metrics come back stacked
    [steps, ...]. Always the scanned program, also for a single step, because scans of
    any length agree to the byte (design trap 14). The state is donated.
    """

    def steps(state: GanState, batch: Batch, key: Key):
        return lax.scan(lambda s, b: gan.train_step(s, b, key), state, batch)

    if len(devices) == 1:
        return jax.jit(steps, donate_argnums=0)
    mapped = jax.pmap(
        steps,
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=devices,
        donate_argnums=0,
    )
    return lambda state, batch, key: mapped(state, shard(batch, len(devices)), key)


def shard(batch: Batch, count: int) -> Batch:
    """Return leaves [steps, n_critic, b, ...] split by device.

    The result is [count, steps, n_critic, b / count, ...]; device d gets the
    contiguous share d of the batch.
    """

    def split(x: np.ndarray) -> np.ndarray:
        parts = x.reshape(*x.shape[:2], count, x.shape[2] // count, *x.shape[3:])
        return np.moveaxis(parts, 2, 0)

    return {name: split(leaf) for name, leaf in batch.items()}


def replicate(state: GanState, devices: list[jax.Device]) -> GanState:
    """Place a state on all devices; left to pmap, the step would compile twice."""
    if len(devices) == 1:
        return jax.device_put(state, devices[0])
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(state, everywhere)


def on_one_device(state: GanState) -> GanState:
    """Return the first device's copy of a replicated state."""
    return jax.tree.map(lambda x: x.addressable_data(0), state)


def to_host(tree: Any) -> Any:
    """Return a copy of a replicated tree as numpy arrays that nothing else holds.

    A copy, because numpy may look into a CPU device's memory, which the next step
    is given to write to.
    """
    return jax.tree.map(lambda x: np.array(x.addressable_data(0), copy=True), tree)
