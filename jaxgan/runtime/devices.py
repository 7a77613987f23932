"""Devices: the training step on one device, or data parallel on several.

Only this module knows of `jax.pmap`. Callers pass in a state and get back a state of
the same shapes, however many devices and processes there are. On several devices it
is replicated: every device has a copy of the whole state, and all copies are equal.

* `replicate` places a state on the devices, before the first step.
* `unreplicate` gives one of the copies, for use on one device.
* `copy_arrays` gives a copy of that one, for checkpoints.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.errors import UserError
from jaxgan.runtime.device_data import DeviceData
from jaxgan.runtime.precision import compiler_options
from jaxgan.runtime.processes import Link
from jaxgan.types import Batch, Gan, GanState, Key, Metrics, PyTree

AXIS = "device"
StepFunction = Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]


def start_distributed(link: Link) -> None:
    """Start JAX's distributed service if there are several processes.

    The service takes over the coordinator's port, which the others have reached
    already. A TPU may number the processes in another way (`jax.process_index`).
    JAX's numbers then say which share of the batch a process gets; everything else
    goes by the link's numbers.
    """
    if link.spec is None:
        return
    # This service goes by one counter for all its callers, and Orbax counts by other
    # numbers than we would. `Link.exchange` tells all processes of a signal instead.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        link.spec.coordinator,
        link.count,
        link.index,
        # Under Slurm, JAX's detection would give each process only one of its GPUs.
        cluster_detection_method="deactivate",
    )


def stop_distributed(link: Link) -> None:
    """Wait until the other processes have done their work, and stop JAX's service."""
    if link.spec is not None:
        jax.distributed.shutdown()


def connect_devices(used_devices: list[jax.Device]) -> None:
    """Run a first collective on the devices of all processes.

    CPU devices wait only 30 seconds for one another at their first collective.
    Compiling the training step may take one process that much longer than another,
    so they connect before it.
    """
    if jax.process_count() > 1 and len(used_devices) > 1:
        ones = np.ones(len(local_devices(used_devices)), np.int32)
        total = jax.pmap(lambda x: lax.psum(x, AXIS), AXIS, devices=used_devices)(ones)
        jax.block_until_ready(total)


def choose_devices(
    requested: int, batch_size: int, accumulate_steps: int = 1
) -> list[jax.Device]:
    """Return the devices of all processes to use, in the order of their shares.

    Every device gets an equal share of a batch, and every process has equally many
    devices.

    Args:
        requested: how many; 0 for as many as divide the batch.
        batch_size: of all devices together.
        accumulate_steps: the number of micro-batches of a batch. Each micro-batch
            has to divide among the devices.

    Raises:
        UserError: there are fewer devices than requested; or their number does not
            divide the batch; or some processes have more devices than others.
    """
    count = jax.process_count()
    by_process: dict[int, list[jax.Device]] = {process: [] for process in range(count)}
    for device in sorted(jax.devices(), key=lambda device: device.id):
        by_process[device.process_index].append(device)
    each = [len(devices) for devices in by_process.values()]
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
    micro_batch = batch_size // accumulate_steps
    steps = f" / train.accumulate_steps = {micro_batch}" if accumulate_steps > 1 else ""
    batch = f"data.batch_size = {batch_size}{steps}"
    if micro_batch % count:
        raise UserError(f"--num_processes = {count}: does not divide {batch}")
    chosen = requested or max(
        n for n in range(count, most + 1, count) if not micro_batch % n
    )
    if chosen > most:
        there = f"this machine has {most}" if count == 1 else f"there are {most} in all"
        raise UserError(f"parallel.devices = {requested}: {there}")
    if chosen % count:
        raise UserError(
            f"parallel.devices = {requested}: does not divide among {count} processes"
        )
    if micro_batch % chosen:
        raise UserError(f"parallel.devices = {requested}: does not divide {batch}")
    return [d for devices in by_process.values() for d in devices[: chosen // count]]


def local_devices(used_devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Return those of the devices that belong to this process."""
    return [d for d in used_devices if d.process_index == jax.process_index()]


def describe_devices(
    used_devices: list[jax.Device],
    requested: int,
    batch_size: int,
    accumulate_steps: int = 1,
) -> str:
    """Return in words which devices are used, and if not all are, why.

    Args:
        used_devices: what `choose_devices` returned for the other arguments.
        requested, batch_size, accumulate_steps: as in `choose_devices`.
    """
    used, there = len(used_devices), jax.device_count()
    words = f"{used} of {there}" if used < there else f"{used}"
    words += f" {used_devices[0].platform} device{'s' if there > 1 else ''}"
    if jax.process_count() > 1:
        words += f" of {jax.process_count()} processes"
    if used < there and not requested:
        what = "micro-batch" if accumulate_steps > 1 else "batch"
        words += f" (the most that divide a {what} of {batch_size // accumulate_steps})"
    return words


def axis_name(used_devices: list[jax.Device]) -> str | None:
    """Return the axis name that a Gan is built with, which is None on one device."""
    return AXIS if len(used_devices) > 1 else None


def compile_steps(
    gan: Gan, used_devices: list[jax.Device], device_data: DeviceData | None = None
) -> StepFunction:
    """Return the function that takes all steps of one call.

    It is `steps(state, batch, key) -> (state, metrics)`. Each leaf of the batch is
    [steps, n_critic, b, ...], where b is this process's share of the batch. Each
    metric is [steps, ...]. The state is whole on every process, and it is donated:
    its old arrays cannot be used again.

    With `device_data` the batch is a plan, from which the devices make the batch.

    Even a single step is a `lax.scan`. A plain jitted step can differ from a scanned
    one in the last bits, whereas scans of any length agree to the byte
    (docs/papers.md, "JAX, Flax and Optax").
    """

    def steps(state: GanState, batch: Batch, key: Key) -> tuple[GanState, Metrics]:
        return lax.scan(lambda s, b: gan.train_step(s, b, key), state, batch)

    gather = device_data and compile_gather(device_data, used_devices)
    if len(used_devices) == 1:
        options = compiler_options(used_devices[0])
        compiled = jax.jit(steps, donate_argnums=0, compiler_options=options)
        if gather is None:
            return compiled
        return lambda state, plan, key: compiled(state, gather(plan), key)
    mapped = jax.pmap(
        steps,
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=used_devices,
        donate_argnums=0,
    )
    count = len(local_devices(used_devices))
    place = gather or (lambda batch: split_batch(batch, count))
    return lambda state, batch, key: mapped(state, place(batch), key)


def compile_gather(
    device_data: DeviceData, used_devices: list[jax.Device]
) -> Callable[[Batch], Batch]:
    """Copy the examples to each device, and return the function from plan to batch.

    It is a program of its own. As a part of the steps' program, it changed the last
    bits of what these compute, even behind an optimization barrier (measured on a CPU,
    for a generator with BatchNorm).
    """
    arrays, gather = replicate(device_data.arrays, used_devices), device_data.gather
    if len(used_devices) == 1:
        compiled = jax.jit(gather)
        return lambda plan: compiled(arrays, plan)
    mapped = jax.pmap(gather, AXIS, in_axes=(None, 0), devices=used_devices)
    count = len(local_devices(used_devices))
    return lambda plan: mapped(arrays, split_batch(plan, count))


def split_batch(batch: Batch, count: int) -> Batch:
    """Split a batch among `count` devices.

    Args:
        batch: leaves [steps, n_critic, b, ...].
        count: a divisor of b.

    Returns:
        Leaves [count, steps, n_critic, b / count, ...]. Device d has the examples
        from d * b / count up to (d + 1) * b / count.
    """

    def split(x: np.ndarray) -> np.ndarray:
        shares = x.reshape(*x.shape[:2], count, x.shape[2] // count, *x.shape[3:])
        return np.moveaxis(shares, 2, 0)

    return {name: split(leaf) for name, leaf in batch.items()}


def replicate(state: PyTree, used_devices: list[jax.Device]) -> PyTree:
    """Return the state, copied to each of the devices that belong to this process.

    If this were left to pmap, the step would compile twice: the states that it
    returns are placed in another way than the first one. Other arrays, such as a data
    set, are placed likewise.
    """
    if len(used_devices) == 1:
        return jax.device_put(state, used_devices[0])
    mesh = jax.sharding.Mesh(np.array(local_devices(used_devices)), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(state, everywhere)


def unreplicate(state: GanState) -> GanState:
    """Return the copy of a replicated state that lies on the first local device."""
    return jax.tree.map(lambda x: x.addressable_data(0), state)


@jax.jit
def copy_arrays(tree: Any) -> Any:
    """Return a copy of arrays of one device, for use after they are donated."""
    return jax.tree.map(jnp.copy, tree)
