"""Which devices are chosen, and how they are described."""

from typing import NamedTuple

import jax
import pytest

from jaxgan.errors import UserError
from jaxgan.runtime import devices
from jaxgan.runtime.processes import Link, ProcessSpec


class Device(NamedTuple):
    """What `choose_devices` looks at."""

    id: int
    process_index: int
    platform: str = "cpu"


@pytest.fixture
def machines(monkeypatch):
    """Return a function that sets how many devices each process has."""

    def set_up(*counts, index=0):
        # A TPU may count its devices across its hosts.
        devices = [
            Device(place * len(counts) + process, process)
            for process, count in enumerate(counts)
            for place in range(count)
        ]
        monkeypatch.setattr(jax, "devices", lambda: sorted(devices))
        monkeypatch.setattr(jax, "device_count", lambda: len(devices))
        monkeypatch.setattr(jax, "process_count", lambda: len(counts))
        monkeypatch.setattr(jax, "process_index", lambda: index)

    return set_up


def test_all_devices_of_a_process_are_its_own_under_slurm(monkeypatch):
    """JAX's detection would give each process the one device of its local number."""
    given = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *args, **kwargs: given.append(kwargs)
    )
    devices.start_distributed(Link(ProcessSpec("127.0.0.1:8476", 1, 0)))
    assert given == [{"cluster_detection_method": "deactivate"}]
    # Orbax and we would count on the service's one counter by different numbers.
    assert not jax.config.jax_enable_preemption_service


def chosen(*arguments):
    return [tuple(device[:2]) for device in devices.choose_devices(*arguments)]


@pytest.mark.parametrize(
    ("batch_size", "expected"), [(64, 8), (8, 8), (12, 6), (9, 3), (7, 7), (11, 1)]
)
def test_as_many_as_divide_the_batch(machines, batch_size, expected):
    machines(8)
    assert len(chosen(0, batch_size)) == expected


@pytest.mark.parametrize(
    ("accumulate_steps", "expected"), [(1, 8), (2, 8), (4, 4), (16, 1)]
)
def test_each_device_has_examples_of_every_micro_batch(
    machines, accumulate_steps, expected
):
    machines(8)
    assert len(chosen(0, 16, accumulate_steps)) == expected


def test_each_process_has_as_many_and_they_follow_one_another(machines):
    machines(2, 2)
    assert chosen(0, 8) == [(0, 0), (2, 0), (1, 1), (3, 1)]
    assert chosen(2, 8) == [(0, 0), (1, 1)]
    assert chosen(0, 6) == [(0, 0), (1, 1)]
    machines(2, 2, index=1)
    assert [d[:2] for d in devices.local_devices(devices.choose_devices(0, 8))] == [
        (1, 1),
        (3, 1),
    ]


@pytest.mark.parametrize(
    ("counts", "arguments", "words"),
    [
        ((8,), (9, 64), ["parallel.devices = 9", "has 8"]),
        ((4, 4), (16, 64), ["parallel.devices = 16", "8 in all"]),
        (
            (4, 2),
            (0, 66),
            ["--num_processes = 2", "4, 2 devices", "CUDA_VISIBLE_DEVICES"],
        ),
        ((8,), (5, 64), ["parallel.devices = 5", "data.batch_size = 64"]),
        ((4, 4), (3, 64), ["parallel.devices = 3", "among 2 processes"]),
        ((4, 4), (0, 9), ["--num_processes = 2", "data.batch_size = 9"]),
        ((8,), (0, 64, 3), ["train.accumulate_steps = 3", "data.batch_size = 64"]),
        (
            (8,),
            (8, 64, 16),
            [
                "parallel.devices = 8",
                "data.batch_size = 64 / train.accumulate_steps = 4",
            ],
        ),
    ],
)
def test_numbers_that_do_not_fit(machines, counts, arguments, words):
    machines(*counts)
    with pytest.raises(UserError) as error:
        devices.choose_devices(*arguments)
    field, *others = words
    assert str(error.value).startswith(f"{field}: ")
    for word in others:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("counts", "requested", "batch_size", "words"),
    [
        ((1,), 0, 64, "1 cpu device"),
        ((8,), 0, 64, "8 cpu devices"),
        ((8,), 0, 4, "4 of 8 cpu devices (the most that divide a batch of 4)"),
        ((8,), 1, 64, "1 of 8 cpu devices"),
        ((4, 4), 0, 64, "8 cpu devices of 2 processes"),
        (
            (4, 4),
            0,
            4,
            "4 of 8 cpu devices of 2 processes (the most that divide a batch of 4)",
        ),
    ],
)
def test_what_is_used_is_said(machines, counts, requested, batch_size, words):
    machines(*counts)
    chosen = devices.choose_devices(requested, batch_size)
    assert devices.describe_devices(chosen, requested, batch_size) == words


def test_micro_batches_are_said(machines):
    machines(8)
    chosen = devices.choose_devices(0, 16, 4)
    assert devices.describe_devices(chosen, 0, 16, 4) == (
        "4 of 8 cpu devices (the most that divide a micro-batch of 4)"
    )
