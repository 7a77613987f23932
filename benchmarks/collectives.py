"""Counts of a program's collective operations, in its jaxpr and in XLA's HLO.

Used by communication.py.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

PARTS = ("gradients", "batch_norm", "metrics", "pool")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
BYTES = {"pred": 1, "u8": 1, "s8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4}
BYTES |= {"f32": 4, "f64": 8, "s64": 8, "u64": 8}
GATHERS = ("all-gather", "all_gather")


class Collective(NamedTuple):
    """An operation in which all devices take part.

    Attributes:
        name: as the program names it.
        bytes: of its result on one device.
        times: how often it runs in a step.
        part: one of PARTS; '' where the program does not tell.
    """

    name: str
    bytes: int
    times: int
    part: str = ""


def total(found: list[Collective]) -> int:
    """Return the bytes of all of them in a step."""
    return sum(each.bytes * each.times for each in found)


def by_part(found: list[Collective]) -> dict[str, int]:
    """Return the bytes of a step for each of PARTS."""
    return {part: total([c for c in found if c.part == part]) for part in PARTS}


def compiled(text: str) -> list[Collective]:
    """Return the collectives of an optimized HLO module's text."""
    operations: list[tuple[str, Collective]] = []
    calls: dict[str, Counter[str]] = {}
    current = entry = ""
    for line in text.splitlines():
        header = re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if header:
            current = header[2]
            entry = current if header[1] else entry
            calls[current] = Counter()
        found = re.search(r" = (.*?) (all-\w+|reduce-scatter|collective-\w+)\(", line)
        if found:
            size = sum(array_bytes(*each) for each in ARRAY.findall(found[1]))
            operations.append((current, Collective(found[2], size, 1)))
        trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
        for callee in re.findall(
            r"(?:body|calls|to_apply|computation)=%([\w.-]+)", line
        ):
            calls[current][callee] += int(trips[1]) if trips else 1
    times: Counter[str] = Counter()

    def visit(name: str, count: int) -> None:
        times[name] += count
        for callee, each in calls[name].items():
            visit(callee, count * each)

    visit(entry, 1)
    return [each._replace(times=times[where]) for where, each in operations]


def array_bytes(kind: str, sides: str) -> int:
    """Return the bytes of HLO's `kind[sides]`."""
    return BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side)


def equations(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Yield each equation of a jaxpr, also inside others, and how often it runs."""
    for equation in jaxpr.eqns:
        yield equation, times
        loops = equation.params.get("length", 1)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner, times * loops)


def traced(jaxpr: Any, state: Any) -> list[Collective]:
    """Return the collectives of a jaxpr, each with its part.

    A sum inside of a network is BatchNorm's. Of the others, arrays in the shapes and
    the order of a player's parameters are its gradients, the rest are metrics.
    """
    import jax

    found = []
    for equation, times in equations(jaxpr):
        name = equation.primitive.name
        if not name.startswith(("psum", "all_gather")):
            continue
        inside = bool(str(equation.source_info.name_stack))
        for variable in equation.outvars:
            shape, size = variable.aval.shape, variable.aval.dtype.itemsize
            part = "batch_norm" if inside else "metrics"
            part = "pool" if name in GATHERS else part
            each = Collective(name, math.prod(shape) * size, times, part)
            found.append((None if inside else shape, each))
    for player in (state.generator, state.critic):
        shapes = [leaf.shape for leaf in jax.tree.leaves(player.params)]
        for first in range(len(found)):
            window = found[first : first + len(shapes)]
            if [shape for shape, _ in window] == shapes:
                found[first : first + len(shapes)] = [
                    (None, each._replace(part="gradients")) for _, each in window
                ]
    return [each for _, each in found]
