"""Devices: the scanned step on one of them, or on several by pmap.

Only this module knows of `pmap`. The state goes in and comes out as on one device,
also where the devices belong to several processes.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from jaxgan.errors import UserError
from jaxgan.runtime.processes import Link
from jaxgan.types import Batch, Gan, GanState, Key, Metrics

AXIS = "device"
StepFunction = Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]


def start(link: Link) -> None:
    """Start JAX's own service for several processes; nothing for one.

    It takes over the coordinator's port, which the others have reached already. A TPU
    may number its processes otherwise (`jax.process_index`). Then shares of the batch
    go by its numbers, all else by the link's.
    """
    if link.place is None:
        return
    # Its answer depends on a counter that Orbax counts on as well, by other numbers.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        link.place.coordinator,
        link.count,
        link.index,
        # Under Slurm JAX would take one GPU of each process's alone.
        cluster_detection_method="deactivate",
    )


def stop(link: Link) -> None:
    """Wait for the other processes to end their work, and stop JAX's service."""
    if link.place is not None:
        jax.distributed.shutdown()


def meet(devices: list[jax.Device]) -> None:
    """Have several processes' devices meet, before compiling parts them.

    Those of CPUs wait 30 seconds for one another at their first common operation.
    """
    if jax.process_count() > 1 and len(devices) > 1:
        ones = np.ones(len(local(devices)), np.int32)
        total = jax.pmap(lambda x: lax.psum(x, AXIS), AXIS, devices=devices)(ones)
        jax.block_until_ready(total)


def choose_devices(
    requested: int, batch_size: int, accumulate_steps: int = 1
) -> list[jax.Device]:
    """Return the devices of all processes to use, in the order of their shares.

    `requested` of them; with 0 as many as divide the batch. Each has an equal share
    of a batch, which it takes in `accumulate_steps` parts, and each process as many
    devices as the others.

    Raises:
        UserError: more than there are, or a number that does not divide the batch, or
            processes with more devices than others.
    """
    count = jax.process_count()
    mine: dict[int, list[jax.Device]] = {process: [] for process in range(count)}
    for device in sorted(jax.devices(), key=lambda device: device.id):
        mine[device.process_index].append(device)
    each = [len(devices) for devices in mine.values()]
    if len(set(each)) > 1:
        raise UserError(
            f"--num_processes = {count}: they have {', '.join(map(str, each))} "
            "devices; each must have as many as the others (CUDA_VISIBLE_DEVICES can "
            "hide some)"
        )
    most = sum(each)
    if batch_size % accumulate_steps:
        raise UserError(
            f"train.accumulate_steps = {accumulate_steps}: does not divide "
            f"data.batch_size = {batch_size}"
        )
    whole = batch_size // accumulate_steps
    parts = f" / train.accumulate_steps = {whole}" if accumulate_steps > 1 else ""
    batch = f"data.batch_size = {batch_size}{parts}"
    if whole % count:
        raise UserError(f"--num_processes = {count}: does not divide {batch}")
    chosen = requested or max(n for n in range(count, most + 1, count) if not whole % n)
    if chosen > most:
        there = f"this machine has {most}" if count == 1 else f"there are {most} in all"
        raise UserError(f"parallel.devices = {requested}: {there}")
    if chosen % count:
        raise UserError(
            f"parallel.devices = {requested}: does not divide among {count} processes"
        )
    if whole % chosen:
        raise UserError(f"parallel.devices = {requested}: does not divide {batch}")
    return [device for own in mine.values() for device in own[: chosen // count]]


def local(devices: list[jax.Device]) -> list[jax.Device]:
    """Return those of the devices that are this process's."""
    return [d for d in devices if d.process_index == jax.process_index()]


def in_words(
    devices: list[jax.Device],
    requested: int,
    batch_size: int,
    accumulate_steps: int = 1,
) -> str:
    """Return which devices are used, and why not all, in words."""
    used, there = len(devices), jax.device_count()
    words = f"{used} of {there}" if used < there else f"{used}"
    words += f" {devices[0].platform} device{'s' if there > 1 else ''}"
    if jax.process_count() > 1:
        words += f" of {jax.process_count()} processes"
    if used < there and not requested:
        what = "part of a batch" if accumulate_steps > 1 else "batch"
        words += f" (the most that divide a {what} of {batch_size // accumulate_steps})"
    return words


def axis_name(devices: list[jax.Device]) -> str | None:
    """Return the mapped axis that a Gan is built with: None on one device."""
    return AXIS if len(devices) > 1 else None


def compile_steps(gan: Gan, devices: list[jax.Device]) -> StepFunction:
    """Return `steps(state, batch, key)`, which takes one step for each of a call's.

    Leaves of the batch are [steps, n_critic, b, ...]; metrics come back stacked
    [steps, ...]. With several processes each gives its own share of the batch, and
    gets the whole state. Always the scanned program, also for a single step, because
    scans of any length agree to the byte (design trap 14). The state is donated.
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
    count = len(local(devices))
    return lambda state, batch, key: mapped(state, shard(batch, count), key)


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
    """Place a state on this process's devices; left to pmap, it would compile twice."""
    if len(devices) == 1:
        return jax.device_put(state, devices[0])
    mesh = jax.sharding.Mesh(np.array(local(devices)), (AXIS,))
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
