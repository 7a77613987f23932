"""The time that a step spends on communication, as a model of ring algorithms.

Used by communication.py, which counts what a step sends. No time here was measured but
those of `MEASURED`, which are of one device.
"""

import math
from typing import Any, NamedTuple

EFFICIENCY = 0.4  # of the peak, which convolutions reach when they are large
# Communication is called hidden where it takes at most this share of a step.
HIDDEN = 0.1


class Link(NamedTuple):
    """What connects the devices, and what they compute.

    Attributes:
        bandwidth: bytes a second that a device sends to its neighbours in the ring.
        latency: seconds of one of the ring's steps.
        peak: FLOP a second of a device, bfloat16.
    """

    bandwidth: float
    latency: float
    peak: float


LINKS = {
    # jax-ml/scaling-book, tpus.md: 9e10 bytes a second along one axis, both directions
    # of the ring together, about 1 us a hop, 1.97e14 FLOP a second.
    "TPU v5e ICI": Link(9e10, 1e-6, 1.97e14),
    # NVIDIA's data sheet of the H100 SXM: 900 GB/s, which is both directions; 1,979
    # TFLOP a second with sparsity, which is twice the dense rate. Latency: the ring of
    # the protocol "Simple" in NCCL's own model (src/graph/tuning.cc, hwLat).
    "H100 NVLink 4": Link(4.5e11, 3.4e-6, 9.895e14),
    # 100 Gbit/s; latency as above, of the network. One GPU a machine.
    "H100 100 GbE": Link(1.25e10, 14e-6, 9.895e14),
}


class Measured(NamedTuple):
    """A step that was measured on one device: its precision, batch and ms."""

    precision: str
    batch: int
    ms: float


# On one NVIDIA H100 80 GB with jax 0.11.2; docs/performance.md has the whole table.
MEASURED: dict[str, list[Measured]] = {
    "wgan_gp:tutorial": [Measured("float32", 64, 0.569)],
    "wgan_gp:cifar10_resnet": [Measured("tf32", 64, 47.9)],
    "cyclegan:horse2zebra": [
        Measured("tf32", 1, 56.4),
        Measured("bfloat16", 1, 63.3),
        Measured("bfloat16", 8, 205.5),
    ],
}


def seconds(link: Link, devices: int, sent: dict[str, Any], batch: float) -> float:
    """Return the time of what a step sends, `batch` examples on each of the devices.

    A ring's all-reduce has 2 (devices - 1) steps, in which a device sends
    2 (devices - 1) / devices times the bytes; an all-gather has half of both.
    """
    steps = 2 * (devices - 1)
    pool = devices * batch * sent["pool_per_example"]
    operations = sent["reduces"] + sent["gathers"] / 2
    moved = (sent["reduced"] + pool / 2) * steps / devices
    return operations * steps * link.latency + moved / link.bandwidth


def hiding_batch(
    link: Link,
    devices: int,
    sent: dict[str, Any],
    computing: float = 0.0,
    share: float = 0.5,
) -> float:
    """Return the batch of a device at which sending takes `share` of a step.

    Infinity where the pools' images take longer to send than to compute.

    Args:
        link, devices, sent: as in `seconds`.
        computing: seconds that a device computes for an example; by default what it
            takes at EFFICIENCY of its peak.
        share: of the step, which is computing and then sending.
    """
    computing = computing or sent["flop_per_example"] / (EFFICIENCY * link.peak)
    fixed = seconds(link, devices, sent, 0)
    growing = seconds(link, devices, sent, 1) - fixed
    allowed = computing * share / (1 - share)
    return fixed / (allowed - growing) if allowed > growing else math.inf


def step_ms(
    link: Link, devices: int, sent: dict[str, Any], measured: Measured
) -> float:
    """Return ms of a step on `devices`, each with the measured batch.

    It is what was measured on one device and the model of `seconds`, one after the
    other: nothing is sent while a device computes.
    """
    if devices == 1:
        return measured.ms
    return measured.ms + 1e3 * seconds(link, devices, sent, measured.batch)
