"""GFLOP/s of the convolutions of this project's networks, on whatever device is there.

    python benchmarks/layers.py [CASE ...] [--dtype=float32|tf32|bfloat16] [--json=FILE]
    python benchmarks/layers.py --forms [CASE ...]

For each shape of a layer: the forward pass, the gradient by the input and the gradient
by the kernel, next to the rate of a large matrix product in the same type. The layers
are those that the networks call, and a row's share is of the time of all convolutions
of an iteration; network_layers.py has their numbers of passes. Layers under 5 % are
left out, unless there is --all: those with less than 1 % of the operations unmeasured,
but for those with few channels. As linear layers, norms and optimizers do not count, a
share of the whole step is smaller.

A multiplication and an addition are two operations. They are counted from the shape: 2
x examples x pixels x kernel's elements, where pixels are those of the output, and of
the input of a transposed convolution. So multiplications by zeros of the padding count,
and zeros that a form adds do not: all forms of a layer have the same count.

--forms compares forms of the layers with few channels on one side. `package` is what
`jaxgan.models.convolutions` takes on this device, and `plain` is XLA's convolution; the
shares are then of these layers only.

Everything runs inside a `lax.scan`, as training does: there XLA's CPU backend computes
some gradients differently. Medians, all forms and passes in turns. On a machine that
others use too, --processor-time divides the time of the processors, and not that of the
clock, by their number; it means nothing on a GPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import side_by_side
from cases import CASES
from jax import lax
from network_layers import Layer, find_layers

from jaxgan.models.convolutions.layout import FEW_CHANNELS
from jaxgan.runtime import precision

CHOICES = [name for name in CASES if name != "mlp"]  # which has no convolutions
PASSES = ("forward", "input", "kernel")
LEAST_SHARE = 0.05


class Timer(NamedTuple):
    """Times functions inside a scan of `length` repetitions, `count` times in turns."""

    length: int
    count: int
    clock: Callable[[], float]

    def compile(self, function: Callable[..., jax.Array], *operands: Any) -> Any:
        """Return a compiled function () -> array, and the bytes that it works in."""

        sizes = [operand.size for operand in operands]
        smallest = sizes.index(min(sizes))

        def repeat(*operands: jax.Array) -> jax.Array:
            def body(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
                # Tied to the repetition before, as XLA would else compute them all as
                # one, by a zero that it cannot know. The barriers keep it from fusing
                # the sum, and from computing only the element that is used.
                inputs = list(operands)
                inputs[smallest] += carry
                inputs = lax.optimization_barrier(inputs)
                outputs = lax.optimization_barrier(function(*inputs))
                return 0 * jnp.ravel(outputs)[0], None

            start = jnp.zeros((), operands[0].dtype)
            return lax.scan(body, start, None, self.length)[0]

        arrays = [
            jax.random.normal(jax.random.key(i), o.shape, o.dtype)
            for i, o in enumerate(operands)
        ]
        made = jax.jit(repeat).lower(*arrays).compile()
        memory = made.memory_analysis()
        return partial(made, *arrays), memory.temp_size_in_bytes if memory else 0

    def seconds(self, functions: dict[Any, Any]) -> dict[Any, float]:
        """Return the median seconds of one repetition of each compiled function."""
        times: dict[Any, list[float]] = {name: [] for name in functions}
        for round_ in range(self.count + 1):
            for name, function in functions.items():
                start = self.clock()
                jax.block_until_ready(function())
                if round_:  # the first one warms up
                    times[name].append((self.clock() - start) / self.length)
        return {name: statistics.median(found) for name, found in times.items()}


def passes_of(layer: Layer, form: Callable[..., jax.Array]) -> dict[str, Any]:
    """Return the functions of the three passes, with the shapes of their arguments."""
    images, kernel = layer.operands()
    outputs = jax.eval_shape(form, images, kernel)

    def by_input(kernel: jax.Array, images: jax.Array, outputs: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: form(x, kernel), images)[1](outputs)[0]

    def by_kernel(
        images: jax.Array, kernel: jax.Array, outputs: jax.Array
    ) -> jax.Array:
        return jax.vjp(lambda k: form(images, k), kernel)[1](outputs)[0]

    return {
        "forward": (form, images, kernel),
        "input": (by_input, kernel, images, outputs),
        "kernel": (by_kernel, images, kernel, outputs),
    }


def measure(layer: Layer, other: bool, timer: Timer) -> dict[str, dict[str, Any]]:
    """Return the seconds of each pass and the bytes it works in, by form.

    `other` measures the other forms too, not only the package's.
    """
    forms = {"package": layer.package, **(layer.forms() if other else {})}
    made = {
        (name, which): timer.compile(*arguments)
        for name, form in forms.items()
        for which, arguments in passes_of(layer, form).items()
    }
    seconds = timer.seconds({key: function for key, (function, _) in made.items()})
    found: dict[str, dict[str, Any]] = {}
    for (name, which), time_ in seconds.items():
        entry = found.setdefault(name, {"work_bytes": 0})
        entry[which] = time_
        entry["work_bytes"] = max(entry["work_bytes"], made[name, which][1])
    return found


def matrix_rate(dtype: str, timer: Timer) -> float:
    """Return the GFLOP/s of a large square matrix product in this type."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jax.ShapeDtypeStruct((size, size), dtype)
    function, _ = timer.compile(jnp.matmul, matrix, matrix)
    return 2 * size**3 / timer.seconds({"matmul": function})["matmul"] / 1e9


def measure_case(
    name: str, flags: argparse.Namespace, timer: Timer
) -> list[dict[str, Any]]:
    """Return a row for each layer shape and form of a case; print them as well."""
    counts = find_layers(CASES[name], flags.dtype)
    found = {}
    work = {layer: count * layer.flops() for layer, count in counts.items()}
    for layer in counts:
        narrow = min(layer.kernel[2:]) <= FEW_CHANNELS
        # To measure those with little work would take most of the time.
        small = work[layer] < LEAST_SHARE / 5 * sum(work.values())
        if narrow or (not flags.forms and (flags.all or not small)):
            found[layer] = measure(layer, flags.forms, timer)
    rates = {
        dtype: matrix_rate(dtype, timer) for dtype in {layer.dtype for layer in found}
    }
    total = sum(
        count * sum(found[layer]["package"][which] for which in PASSES)
        for layer, count in counts.items()
        if layer in found
    )
    rows = []
    for layer, count in counts.items():
        if layer not in found:
            continue
        share = count * sum(found[layer]["package"][w] for w in PASSES) / total
        if share < LEAST_SHARE and not flags.all and not flags.forms:
            continue
        for form, times in found[layer].items():
            gflops = {w: layer.flops() / times[w] / 1e9 for w in PASSES}
            rows.append(
                {
                    "case": name,
                    "layer": str(layer),
                    "form": form,
                    "dtype": layer.dtype,
                    "passes": count,
                    "share": share,
                    "gflop": layer.flops() / 1e9,
                    "gflop_per_s": gflops,
                    "of_matrix": {w: gflops[w] / rates[layer.dtype] for w in PASSES},
                    "work_mb": times["work_bytes"] / 1e6,
                    "matrix_gflop_per_s": rates[layer.dtype],
                }
            )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows of one case as a table."""
    rates = {row["dtype"]: row["matrix_gflop_per_s"] for row in rows}
    words = ", ".join(f"{rate:,.0f} in {dtype}" for dtype, rate in rates.items())
    print(f"\n{rows[0]['case']}; a large matrix product: {words} GFLOP/s")
    print("GFLOP/s, and the share of the matrix product's; `<` is below a third")
    titles = "".join(f"{title:>16}" for title in PASSES)
    print(f"{'layer':<42}{'form':<13}{'time':>5}{titles}{'work MB':>10}")
    for row in rows:
        cells = ""
        for which in PASSES:
            share = row["of_matrix"][which]
            mark = "<" if share < 1 / 3 else " "
            cells += f"{row['gflop_per_s'][which]:>10,.0f} {share:>4.0%}{mark}"
        share = f"{row['share']:>5.0%}" if row["form"] == "package" else " " * 5
        work = f"{row['work_mb']:>10,.1f}"
        print(f"{row['layer']:<42}{row['form']:<13}{share}{cells}{work}")


def main() -> None:
    parser = side_by_side.parser(__doc__, blocks=7, iterations=4)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CHOICES))
    parser.add_argument(
        "--dtype", choices=("float32", "tf32", "bfloat16"), default="float32"
    )
    parser.add_argument("--forms", action="store_true", help="of few channels only")
    parser.add_argument("--all", action="store_true", help="layers under 5 %% too")
    parser.add_argument("--processor-time", action="store_true")
    flags = parser.parse_args()
    if unknown := set(flags.cases) - set(CHOICES):
        parser.error(f"CASE {', '.join(unknown)}: choose from {', '.join(CHOICES)}")
    threads = side_by_side.limit_threads(flags.threads)
    precision.configure(flags.dtype, deterministic=False)
    clock = time.perf_counter
    if flags.processor_time:
        clock = lambda: time.process_time() / threads  # noqa: E731
    timer = Timer(flags.iterations, flags.blocks, clock)
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}, --dtype={flags.dtype}")
    rows = []
    for name in flags.cases or CHOICES:
        made = measure_case(name, flags, timer)
        show(made)
        rows += made
    if memory := device.memory_stats():
        print(
            f"\npeak memory of the process: {memory['peak_bytes_in_use'] / 1e9:.2f} GB"
        )
    side_by_side.write_json(
        flags.json,
        {"device": device.device_kind, "jax": jax.__version__, "rows": rows},
    )


if __name__ == "__main__":
    main()
