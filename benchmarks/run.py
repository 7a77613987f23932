"""Time of training beside PyTorch, on whatever device is there.

    python benchmarks/run.py [CASE ...] [--peers=eager,compile] [--dtype=...]
                             [--profile] [--memory] [--json=FILE]

An iteration is one generator update of a recipe with its critic steps: all that
`jaxgan.main` does between two lines of its log. Each case runs in a process of its own
(row.py), in which jaxgan and its peers take turns, block by block, so that other load
on the machine slows all of them. JAX uses its default backend, PyTorch a GPU if it
finds one. There are no peers on a TPU, nor without PyTorch (extra `bench`).

The peers are PyTorch as a careful user would write it (torch_wgan.py,
torch_cyclegan.py): data on the device, no synchronisation within a step, fused Adam,
in bfloat16 autocast and channels-last, else PyTorch's defaults (on a GPU TF32 in
convolutions). 'compile' is torch.compile, except for a critic that is penalised: it
knows no gradient of a gradient.

The table has one line a side:

ms: median of the blocks, with the 10th and 90th percentile.
ratio: jaxgan / peer, of the medians; in brackets 80 % of the pairs of blocks.
TFLOP/s: by flops.py, the same count for all sides; `of rate` is its share of what
    JAX's product of two large matrices reaches on this device in this precision.
GB: on a GPU or TPU the peak of what the framework has allocated, for jaxgan with what
    XLA takes to choose among kernels when it compiles, and for two peers that of both;
    on a CPU only with --memory, by how much the process grows in training (row.py).
first step: seconds from the start of the process (a peer: of its import) to the end of
    the first call, which compiles.

--memory: memory and first step are those of processes of one side, and jaxgan's second
process loads its programs from the cache that the first one has filled: it is the one
whose memory is in the table, and `warm` its first step.
host: time in which the host makes and dispatches a batch, as a share of a step.

Run it on an idle machine. Where others compete for the CPUs, PyTorch's OpenMP threads
wait for one another and lose far more time than XLA's, which flatters this project.
`load` is that of the minute before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import row as one_row
from cases import CASES
from side_by_side import write_json

ROW = Path(__file__).with_name("row.py")
PRECISIONS = ("float32", "tf32", "bfloat16")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a row's process."""
    root = str(ROW.parents[1])
    path = os.environ.get("PYTHONPATH")
    return {
        # JAX would take three quarters of a GPU's memory, and PyTorch runs beside it.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # the first step is a cold one
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
        **more,
    }


def run_row(arguments: list[str], **more: str) -> dict[str, Any] | str:
    """Run row.py in a process of its own; return its JSON, or why there is none."""
    done = subprocess.run(
        [sys.executable, str(ROW), *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(done.stderr)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"exit code {done.returncode}: {last}"


def find_platform() -> str:
    """Return JAX's default backend, which another process looks up."""
    program = "import jax; print(jax.default_backend())"
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, text=True).split()[-1]


def memory(arguments: list[str], sides: list[str]) -> dict[str, Any]:
    """Return what each side measured in processes of its own.

    jaxgan runs twice: 'cold' fills a compilation cache, 'jaxgan' loads its programs
    from there, so that the memory of the compiler does not count.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = {
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        for name in ("cold", *sides):
            only = "jaxgan" if name == "cold" else name
            found[name] = run_row([*arguments, f"--only={only}"], **cache)
    return found


def add_memory(row: dict[str, Any], found: dict[str, Any]) -> None:
    """Enter what `memory` returned into a row; a side that failed stays as it is."""
    for name, side in row["sides"].items():
        if isinstance(found[name], dict):
            side["memory"] = found[name]["memory"]
            if name != "jaxgan":
                side["first_step"] = found[name]["first_step"]
            else:
                side["warm_first_step"] = found[name]["first_step"]
    if isinstance(found["cold"], dict):
        row["sides"]["jaxgan"]["first_step"] = found["cold"]["first_step"]


HEADER = (
    "| case | side | ms | ratio | TFLOP/s | of rate | GB | first step, s | host |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def number(value: float | None, form: str) -> str:
    """Return a number in a format, or nothing for None."""
    return "" if value is None else format(value, form)


def lines(row: dict[str, Any]) -> list[str]:
    """Return the table's lines of a row, one for each side."""
    found = []
    for name, side in row["sides"].items():
        ratio = ""
        if "ratio" in side:
            spread = f"({side['ratio_10']:.2f} to {side['ratio_90']:.2f})"
            ratio = f"{side['ratio']:.2f} {spread}"
        first = number(side["first_step"], ".1f")
        if "warm_first_step" in side:
            first += f"; warm {side['warm_first_step']:.1f}"
        cells = (
            f"{row['case']}, {row['precision']}",
            name if name == "jaxgan" else f"PyTorch {name}",
            f"{side['ms']:.4g} ({side['ms_10']:.4g} to {side['ms_90']:.4g})",
            ratio,
            number(side["tflops"], ".3g"),
            number(side["of_matrix_rate"], ".0%"),
            number(side["memory"], ".3g"),
            first,
            number(side.get("host_share"), ".1%"),
        )
        found.append(f"| {' | '.join(cells)} |")
    return found


def notes(row: dict[str, Any]) -> str:
    """Return a line about how a row was measured."""
    of = " and ".join(f"{name} {text}" for name, text in row["versions"].items())
    return (
        f"{row['case']}: {row['about']}; {row['device']}, {row['threads']} threads, "
        f"{of}; {row['blocks']} blocks of {row['iterations']} iterations a side, "
        f"{row['steps_per_call']} steps a call; {row['gflop']:,.4g} GFLOP each, "
        f"matrix product {row['matrix_tflops']:.3g} TFLOP/s; load before "
        f"{row['load_before']:.2f}{row['without_peers']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "case", nargs="*", help=f"{', '.join(CASES)}; by default those for this device"
    )
    parser.add_argument("--peers", default="eager", help="eager, compile, or none: ''")
    parser.add_argument("--dtype", default="", help=f"some of {', '.join(PRECISIONS)}")
    parser.add_argument("--memory", action="store_true", help="see above; slower")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    one_row.add_flags(parser)
    flags = parser.parse_args()
    for name in flags.case:
        if name not in CASES:
            parser.error(f"case = {name}: must be one of {', '.join(CASES)}")
    for name in filter(None, flags.dtype.split(",")):
        if name not in PRECISIONS:
            parser.error(f"--dtype = {name}: must be one of {', '.join(PRECISIONS)}")
    for name in filter(None, flags.peers.split(",")):
        if name not in ("eager", "compile"):
            parser.error(f"--peers = {name}: must be eager or compile")
    # With both given there is no need to ask JAX, which takes seconds on a GPU.
    on_cpu = not (flags.case and flags.dtype) and find_platform() == "cpu"
    names = flags.case or [n for n, c in CASES.items() if c.on_cpu or not on_cpu]
    passed = [f"--{n}={getattr(flags, n)}" for n in ("threads", "blocks", "iterations")]
    passed += [f"--seconds={flags.seconds}"]
    passed += [f"--fields={flags.fields}"]
    passed += ["--profile"] * flags.profile + ["--smoke"] * flags.smoke
    rows, failed = [], []
    for name in names:
        own = "float32" if on_cpu else CASES[name].precision
        for precision in flags.dtype.split(",") if flags.dtype else [own]:
            arguments = [name, f"--precision={precision}", *passed]
            row = run_row([*arguments, f"--peers={flags.peers}"])
            if isinstance(row, str):
                failed.append(f"{name}, {precision}: {row}")
                continue
            if flags.memory:
                add_memory(row, memory(arguments, list(row["sides"])))
            print("\n".join(lines(row)), flush=True)
            rows.append(row)
            write_json(flags.json, rows)
    print_all(rows, failed)
    return 1 if failed else 0


def print_all(rows: list[dict[str, Any]], failed: list[str]) -> None:
    """Print the whole table, how it was measured, the profiles and what failed."""
    import kernels

    table = [line for row in rows for line in lines(row)]
    print("\n".join(["", HEADER, *table, "", *map(notes, rows)]))
    for row in rows:
        for name, found in row["profiles"].items():
            title = f"\n{row['case']}, {row['precision']}, {name}"
            print(kernels.table(title, [kernels.Kernel(**k) for k in found]))
    for line in failed:
        print(f"not measured: {line}")


if __name__ == "__main__":
    sys.exit(main())
