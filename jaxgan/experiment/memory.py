"""How much memory a run needs, estimated before anything is allocated."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgan.data.memory import format_bytes, total_memory
from jaxgan.errors import UserError
from jaxgan.experiment.experiment import FAMILIES, Experiment
from jaxgan.runtime.device_data import DeviceData
from jaxgan.runtime.devices import local_devices

# In place of the number of classes, until the data is read.
SOME_CLASSES = 2
# By part of an estimate: the fields of which an error names the largest, and what makes
# the part smaller.
FIELDS = {
    "networks and optimizers": (
        "generator.hidden",
        "critic.hidden",
        "generator.width",
        "critic.width",
        "data.image_size",
        "gan.latent_size",
    ),
    "image pools": ("gan.pool_size",),
    "batches": ("data.batch_size", "train.steps_per_call", "gan.n_critic"),
    "layers": ("data.batch_size",),
    "decoded images": ("data.resize", "data.image_size"),
    "examples on the device": ("data.cache",),
}
CURES = {
    "networks and optimizers": "fewer or narrower layers (hidden, width), smaller "
    "images or a smaller gan.latent_size take",
    "image pools": "a smaller pool or smaller images take",
    "batches": "a smaller batch or train.steps_per_call takes",
    "layers": "a smaller batch, a larger train.accumulate_steps or train.remat=True "
    "takes",
    "decoded images": "smaller images take",
    "examples on the device": "data.cache=memory takes",
}


def estimate(
    experiment: Experiment,
    shape: tuple[int, ...],
    num_classes: int,
    layers: Mapping[str, Sequence[int]],
    devices: Sequence[jax.Device],
    device_data: DeviceData | None = None,
) -> dict[str, int]:
    """Return the bytes that a run needs at least, by part.

    They are counted for one GPU or TPU, or else for the machine, whose memory the CPU
    devices of this process share; it also holds the decoded images. At a checkpoint
    there is a copy of the state on one device. Of the layers, the output of each
    convolution and linear layer of one generator and one critic is counted: the
    generator's gradient needs them all, with `train.remat` one network's after the
    other's. What else gradients need is known only once the step is compiled.

    Args:
        experiment: the run.
        shape: of one example.
        num_classes: number of classes in the data; 0 without labels.
        layers: as `preflight.check_shapes` returns them.
        devices: those to train on, of all processes.
        device_data: the examples to keep on each device, if there are any.
    """
    gan, values = experiment.gan(shape, num_classes), experiment.values
    family = FAMILIES[experiment.family]
    state = jax.eval_shape(gan.init, jax.random.key(0))
    pools = _bytes_of(state.memory.get("pool", ()))
    share = -(-experiment.batch_size // len(devices))
    micro_batch = -(-share // experiment.accumulate_steps)
    of_players = [sum(made) for made in layers.values()]
    elements = max(of_players) if values["train.remat"] else sum(of_players)
    element_bytes = 2 if experiment.precision == "bfloat16" else 4
    parts = {
        "networks and optimizers": _bytes_of(state) - pools,
        "image pools": pools,
        "batches": share * family.example_bytes(values, shape),
        "layers": micro_batch * elements * element_bytes,
        "examples on the device": device_data.num_bytes if device_data else 0,
    }
    local = local_devices(devices)
    own = own_memory(local)
    copies = dict.fromkeys(parts, 1 if own else len(local))
    for part in ("networks and optimizers", "image pools"):
        copies[part] += 1
    parts = {part: copies[part] * count for part, count in parts.items()}
    return (
        parts if own else parts | {"decoded images": family.data_bytes(values, shape)}
    )


def check(
    experiment: Experiment, parts: Mapping[str, int], devices: Sequence[jax.Device]
) -> None:
    """Raise UserError if what `estimate` returned is more than the memory there is."""
    limit, where = total_memory(), "this machine"
    if own := own_memory(devices):
        limit, where = own, str(local_devices(devices)[0])
    needed = sum(parts.values())
    if needed > limit:
        largest = max(parts, key=lambda part: parts[part])
        given = {
            n: experiment.values[n] for n in FIELDS[largest] if n in experiment.values
        }
        field = max(given, key=lambda name: _size(given[name]))
        raise UserError(
            f"{field} = {given[field]}: the run's memory is {describe(parts)}, and "
            f"{where} has {format_bytes(limit)}; {CURES[largest]} less"
        )


def describe(parts: Mapping[str, int]) -> str:
    """Return an estimate in words: 'at least 3 GB (PART 2 GB, ...)'."""
    ordered = sorted(parts, key=lambda part: -parts[part])
    words = ", ".join(f"{n} {format_bytes(parts[n])}" for n in ordered if parts[n])
    return f"at least {format_bytes(sum(parts.values()))} ({words})"


def advice(experiment: Experiment, reason: str) -> str:
    """Return the line for a run that has used up the memory: its need, and the cure.

    `reason` is what JAX or Python said.
    """
    least = ""
    family, values = FAMILIES[experiment.family], experiment.values
    if shape := family.known_shape(values):
        gan = experiment.gan(shape, SOME_CLASSES)
        state = _bytes_of(jax.eval_shape(gan.init, jax.random.key(0)))
        least = f"; the run's state alone takes {format_bytes(state)}"
    return (
        f"out of memory ({reason}){least}; a smaller data.batch_size = "
        f"{experiment.batch_size}, data.image_size = {values['data.image_size']} or "
        f"network, a larger train.accumulate_steps = {experiment.accumulate_steps}, or "
        "train.remat=True takes less; what was saved before is kept"
    )


def own_memory(devices: Sequence[jax.Device]) -> int:
    """Return the bytes of memory of the smallest of this process's devices.

    It is 0 where they use the machine's memory, as CPU devices do, and where JAX does
    not tell.
    """
    local = local_devices(devices)
    if any(device.platform == "cpu" for device in local):
        return 0
    stats = [device.memory_stats() or {} for device in local]
    return min(each.get("bytes_limit", 0) for each in stats)


def _size(value: Any) -> float:
    # The largest of several numbers; a field with a name has no size.
    return 0 if isinstance(value, str) else np.max(value, initial=0)


def _bytes_of(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
