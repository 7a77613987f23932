"""How much memory a run needs, estimated before anything is allocated."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgan.data.memory import total_memory
from jaxgan.errors import UserError
from jaxgan.experiment.experiment import FAMILIES, Experiment

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
}
CURES = {
    "networks and optimizers": "fewer or narrower layers (hidden, width), smaller "
    "images or a smaller gan.latent_size take",
    "image pools": "a smaller pool or smaller images take",
    "batches": "a smaller batch or train.steps_per_call takes",
    "layers": "a smaller batch or a larger train.accumulate_steps takes",
    "decoded images": "smaller images take",
}


def estimate(
    experiment: Experiment,
    shape: tuple[int, ...],
    num_classes: int,
    layers: Mapping[str, Sequence[int]],
    devices: Sequence[jax.Device],
) -> dict[str, int]:
    """Return the bytes that a run needs at least, by part.

    They are counted for one GPU or TPU, or else for the machine, whose memory the CPU
    devices of this process share; it also holds the decoded images, and at a checkpoint
    a copy of the state. Of the layers, the output of each convolution and linear layer
    of one generator and one critic is counted: the generator's gradient needs them all.
    What else gradients need is known only once the step is compiled.

    Args:
        experiment: the run.
        shape: of one example.
        num_classes: number of classes in the data; 0 without labels.
        layers: as `preflight.check_shapes` returns them.
        devices: those to train on, of all processes.
    """
    gan, values = experiment.gan(shape, num_classes), experiment.values
    family = FAMILIES[experiment.family]
    state = jax.eval_shape(gan.init, jax.random.key(0))
    pools = _bytes_of(state.memory.get("pool", ()))
    share = -(-experiment.batch_size // len(devices))
    micro_batch = -(-share // experiment.accumulate_steps)
    elements = sum(made for player in layers.values() for made in player)
    element_bytes = 2 if experiment.precision == "bfloat16" else 4
    parts = {
        "networks and optimizers": _bytes_of(state) - pools,
        "image pools": pools,
        "batches": share * family.example_bytes(values, shape),
        "layers": micro_batch * elements * element_bytes,
    }
    local = _local_devices(devices)
    if _has_own_memory(local[0]):
        return parts
    copies = dict.fromkeys(parts, len(local))
    for part in ("networks and optimizers", "image pools"):
        copies[part] += 1
    parts = {part: copies[part] * count for part, count in parts.items()}
    return parts | {"decoded images": family.data_bytes(values, shape)}


def check(
    experiment: Experiment, parts: Mapping[str, int], devices: Sequence[jax.Device]
) -> None:
    """Raise UserError if what `estimate` returned is more than the memory there is."""
    device = _local_devices(devices)[0]
    limit, where = total_memory(), "this machine"
    if _has_own_memory(device):
        limit, where = device.memory_stats()["bytes_limit"], str(device)
    needed = sum(parts.values())
    if needed > limit:
        largest = max(parts, key=lambda part: parts[part])
        given = {
            n: experiment.values[n] for n in FIELDS[largest] if n in experiment.values
        }
        field = max(given, key=lambda name: np.max(given[name], initial=0))
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
        f"network, or a larger train.accumulate_steps = {experiment.accumulate_steps}, "
        "takes less; what was saved before is kept"
    )


def format_bytes(count: float) -> str:
    """Return a number of bytes in words: '512 bytes', '3.1 MiB', '98.3 GiB'."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} PiB"


def _local_devices(devices: Sequence[jax.Device]) -> list[jax.Device]:
    return [d for d in devices if d.process_index == jax.process_index()]


def _has_own_memory(device: jax.Device) -> bool:
    return "bytes_limit" in (device.memory_stats() or {})


def _bytes_of(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
