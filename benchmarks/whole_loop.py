"""Time of whole runs of `jaxgan.main`, with pictures, checkpoints and lines.

    python benchmarks/whole_loop.py [RUN ...] [--steps=N] [--smoke]

Each run trains twice, in processes of its own: cold, where everything is compiled, and
warm, with the compiled programs of the first. The numbers are the run's own: `ms` is
the median, over the lines of metrics.jsonl but the first, of the time of a step; `first
step` is what the program says of it.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import write_json

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "cyclegan.py"
IMAGES = 60  # in each domain, of random pixels
# Flags after the config, by run; {images} is a folder of random images.
RUNS = {
    "day_night": (f"{CONFIG}", []),
    # As horse2zebra, in 128x128.
    "folder128": (
        f"{CONFIG}:folder,size=128,dir={{images}}",
        ["--config.train.precision=bfloat16", "--config.train.num_epochs=0"],
    ),
}
SMALL = ["generator.name=resnet_1blocks", "generator.width=4", "critic.width=4"]


def write_images(folder: Path, side: int) -> None:
    """Write a folder for `data.name=folder`: trainA, trainB, testA, testB."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (
        ("trainA", IMAGES),
        ("trainB", IMAGES),
        ("testA", 6),
        ("testB", 6),
    ):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{number}.png")


def step_ms(lines: list[dict[str, Any]]) -> float:
    """Return the median ms of a step between two lines of metrics."""
    return statistics.median(
        (new["seconds"] - old["seconds"]) * 1e3 / (new["step"] - old["step"])
        for old, new in itertools.pairwise(lines)
    )


def first_step(printed: str) -> float | None:
    """Return the seconds to the first step if a run has printed them."""
    found = re.search(r"first (?:\d+ )?steps? after ([\d.]+) s", printed)
    return float(found[1]) if found else None


def train(config: str, flags: list[str], workdir: Path, cache: Path) -> dict[str, Any]:
    """Train a run with compiled programs in `cache`; return its numbers."""
    start = time.perf_counter()
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "jaxgan.main", f"--config={config}"]
    command += [f"--workdir={workdir}", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {
        "ms": step_ms([json.loads(line) for line in lines]),
        "first_step": first_step(done.stdout + done.stderr),
        "whole": time.perf_counter() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="*", default=list(RUNS), help=", ".join(RUNS))
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--smoke", action="store_true", help="only whether it runs")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    flags = parser.parse_args()
    if unknown := set(flags.run) - set(RUNS):
        parser.error(f"run = {', '.join(unknown)}: must be some of {', '.join(RUNS)}")
    found: dict[str, Any] = {}
    print("| run | | ms a step | first step, s | whole run, s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_images(folder / "images", 36 if flags.smoke else 160)
        for name in flags.run:
            config, more = RUNS[name]
            config = config.format(images=folder / "images")
            lines = max(1, flags.steps // 12)
            more = [f"--config.train.num_steps={flags.steps}", *more]
            more += [f"--config.train.log_steps={lines}"]
            if flags.smoke:
                more += [f"--config.{field}" for field in SMALL]
                more += ["--config.data.resize=36", "--config.data.image_size=32"]
            for kind in ("cold", "warm"):
                workdir = folder / f"{name}-{kind}"
                row = train(config, more, workdir, folder / f"{name}-cache")
                found[f"{name}, {kind}"] = row
                first = "" if row["first_step"] is None else f"{row['first_step']:.1f}"
                print(
                    f"| {name} | {kind} | {row['ms']:.4g} | {first} | "
                    f"{row['whole']:.1f} |",
                    flush=True,
                )
                write_json(flags.json, found)


if __name__ == "__main__":
    main()
