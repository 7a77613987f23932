"""One case measured in this process, which run.py starts for each; prints JSON.

    python benchmarks/row.py CASE [--precision=...] [--peers=...] [...]

--only=SIDE trains on one side only, and measures its memory and the time to its first
step. On a CPU the memory is that of the steps: by how much the resident memory grows up
to its peak, which is parameters, optimizer states, pools, activations, gradients and
work space. The import of the framework does not count, nor does compilation with the
program that it makes: both are over before the growth is measured, and arrays that
exist by then are added.
"""

import argparse
import importlib.util
import json
import os
import time
from typing import Any

START = time.time()  # before all slow imports

import cases  # noqa: E402
import flops  # noqa: E402
import kernels  # noqa: E402
import numpy as np  # noqa: E402
import process_memory  # noqa: E402
import side_by_side  # noqa: E402
from side_by_side import Side  # noqa: E402


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that run.py passes on."""
    parser.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    parser.add_argument("--blocks", type=int, default=0, help="of each side; 0: chosen")
    parser.add_argument(
        "--iterations", type=int, default=0, help="in one block; 0: chosen"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="that the blocks of a case may take"
    )
    parser.add_argument(
        "--profile", action="store_true", help="print the kernels that take most"
    )
    parser.add_argument(
        "--fields", default="", help="of the config: 'train.remat=True,...'"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="small networks: only whether it runs"
    )


def device_words() -> dict[str, str]:
    """Return what JAX computes on: `platform`, and `device` in words."""
    import jax

    found = jax.devices()[0]
    return {"platform": found.platform, "device": found.device_kind}


def matrix_rate(precision: str, size: int = 0) -> float:
    """Return the TFLOP/s of a product of square matrices in `train.precision`.

    The best of several; `size` is their side, by default such that the device is busy.
    """
    import jax
    import jax.numpy as jnp

    size = size or (1536 if jax.default_backend() == "cpu" else 8192)
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    highest = jax.lax.Precision.HIGHEST if precision == "float32" else None
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=highest))
    matrix = jnp.ones((size, size), dtype)
    jax.block_until_ready(product(matrix))
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        jax.block_until_ready([product(matrix) for _ in range(3)])
        best = min(best, (time.perf_counter() - start) / 3)
    return 2 * size**3 / best / 1e12


def make_side(name: str, config: Any, images: np.ndarray, threads: int) -> Side:
    """Return a side by its name: 'jaxgan', or one of the peers."""
    if name == "jaxgan":
        return cases.jaxgan_side(config, images)
    import torch_peers

    return torch_peers.peer_side(name, config, images, threads)


def first_step(
    name: str, config: Any, images: np.ndarray, threads: int, since: float
) -> tuple[Side, float]:
    """Return a side after its first call, and the seconds from `since` to its end."""
    side = make_side(name, config, images, threads)
    side_by_side.block_ms(side, 1)
    return side, time.time() - since


def measure_side(
    name: str, config: Any, images: np.ndarray, threads: int, iterations: int
) -> dict[str, Any]:
    """Train on one side; return its memory in GB and the seconds to its first step."""
    side, seconds = first_step(name, config, images, threads, START)
    peak = (
        process_memory.jax_peak() if name == "jaxgan" else process_memory.torch_peak()
    )
    if peak is None:
        peak = growth(side, name, iterations)
    return {"first_step": seconds, "memory": peak}


def growth(side: Side, name: str, iterations: int) -> float:
    """Return by how much this process's memory grows in training, arrays included."""
    held = 0.0
    if name == "jaxgan":
        import jax

        held = sum(array.nbytes for array in jax.live_arrays()) / 1e9
    else:
        import gc

        import torch

        tensors = {
            each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
            for each in gc.get_objects()
            # The data set is of bytes.
            if isinstance(each, torch.Tensor) and each.dtype != torch.uint8
        }
        held = sum(tensors.values()) / 1e9
    before = process_memory.settled()
    side_by_side.block_ms(side, max(3, iterations))
    return process_memory.resident("VmHWM") - before + held


def measure(
    name: str, config: Any, flags: argparse.Namespace, threads: int
) -> dict[str, Any]:
    """Return the row of a case: all that was measured, by side."""
    case = cases.small(name) if flags.smoke else cases.CASES[name]
    images = cases.make_images(config, case.count)
    load = os.getloadavg()[0]
    side, taken = first_step("jaxgan", config, images, threads, START)
    sides, seconds = {"jaxgan": side}, {"jaxgan": taken}
    since = time.time()  # the import of PyTorch counts for the first of its sides
    peers, without_peers = usable_peers(flags.peers)
    for each in peers:
        sides[each], seconds[each] = first_step(each, config, images, threads, since)
        since = time.time()
    ms = {each: side_by_side.block_ms(side, 1) for each, side in sides.items()}
    blocks, iterations = side_by_side.choose_blocks(
        ms, flags.seconds, flags.blocks, flags.iterations
    )
    result = side_by_side.summary(side_by_side.time_blocks(sides, blocks, iterations))
    for each, row in result.items():  # before other arrays join those of the steps
        ours = each == "jaxgan"
        row["memory"] = (
            process_memory.jax_peak() if ours else process_memory.torch_peak()
        )
    flop = flops.step(config, cases.networks_of(config))
    rate = matrix_rate(config.train.precision, 256 if flags.smoke else 0)
    for each, row in result.items():
        row["first_step"] = seconds[each]
        row["tflops"] = flop / row["ms"] / 1e9
        row["of_matrix_rate"] = row["tflops"] / rate
    ours = result["jaxgan"]
    ours |= side_by_side.host_ms(sides["jaxgan"], calls=20 if ours["ms"] < 100 else 3)
    ours["host_share"] = (ours["batch_ms"] + ours["dispatch_ms"]) / ours["ms"]
    profiles = {}
    if flags.profile:
        for each, side in sides.items():
            found = kernels.profile_jax if each == "jaxgan" else kernels.profile_torch
            profiles[each] = [kernel._asdict() for kernel in found(side, iterations)]
    return {
        "case": name,
        "about": case.about,
        "precision": config.train.precision,
        **device_words(),
        "versions": versions(peers),
        "without_peers": without_peers,
        "threads": threads,
        "load_before": load,
        "blocks": blocks,
        "iterations": iterations,
        "steps_per_call": sides["jaxgan"].steps_per_call,
        "gflop": flop / 1e9,
        "matrix_tflops": rate,
        "sides": result,
        "profiles": profiles,
    }


def usable_peers(asked: str) -> tuple[list[str], str]:
    """Return the peers that can run beside JAX here, and why there are none."""
    import jax

    peers, platform = [name for name in asked.split(",") if name], jax.default_backend()
    if not peers:
        return [], ""
    if platform not in ("cpu", "gpu"):
        return [], f"; no peers: none runs on a {platform}"
    if not importlib.util.find_spec("torch"):
        return [], "; no peers: PyTorch is not installed (extra `bench`)"
    import torch

    if platform == "gpu" and not torch.cuda.is_available():
        return [], "; no peers: PyTorch finds no GPU"
    return peers, ""


def versions(peers: list[str]) -> dict[str, str]:
    """Return the versions of JAX, and of PyTorch if there are peers."""
    import jax

    found = {"jax": jax.__version__}
    if peers:
        import torch

        found["torch"] = torch.__version__
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=cases.CASES)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--peers", default="eager")
    parser.add_argument("--only", help="jaxgan, or a peer: its memory and first step")
    add_flags(parser)
    flags = parser.parse_args()
    threads = side_by_side.limit_threads(flags.threads)
    case = cases.small(flags.case) if flags.smoke else cases.CASES[flags.case]
    config = cases.config_of(case, flags.precision, flags.fields)
    if flags.only:
        images = cases.make_images(config, case.count)
        row = measure_side(flags.only, config, images, threads, flags.iterations)
    else:
        row = measure(flags.case, config, flags, threads)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
