"""Compare the default runs of two versions of this code, byte for byte.

    python benchmarks/same_bytes.py --before=REVISION [--steps=N] [--keep=DIR]

trains each recipe with the code of a git revision and with the code of this checkout,
then compares `metrics.jsonl` (without the two fields that are times) and the pictures
in `samples/`. A third run begins with the old code and ends with this one, halfway: a
workdir of the old code has to resume to the same bytes. Exit code 1 on a difference.
With --keep the old code's runs stay in DIR and are used again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {"wgan": 4000, "wgan_gp": 4000, "cyclegan": 2200}  # default steps
TIMES = ("seconds", "images_per_second")


def check_out(revision: str, folder: Path) -> Path:
    """Write the files of `revision` to `folder` and return it."""
    folder.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
    return folder


def train(code: Path, recipe: str, workdir: Path, steps: int) -> None:
    """Train `recipe` up to `steps` with the checkout in `code`."""
    command = [sys.executable, "-m", "jaxgan.main", f"--config=configs/{recipe}.py"]
    subprocess.run(
        [*command, f"--workdir={workdir}", f"--config.train.num_steps={steps}"],
        cwd=code,
        env=os.environ | {"PYTHONPATH": str(code)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def contents(workdir: Path) -> dict[str, object]:
    """Return what has to be equal of a run: lines of metrics, bytes of pictures."""
    lines = [
        json.loads(s) for s in (workdir / "metrics.jsonl").read_text().split("\n")[:-1]
    ]
    found: dict[str, object] = {
        f"metrics.jsonl, step {line['step']}": {
            name: value for name, value in line.items() if name not in TIMES
        }
        for line in lines
    }
    for picture in sorted((workdir / "samples").iterdir()):
        found[f"samples/{picture.name}"] = picture.read_bytes()
    return found


def report(name: str, before: Path, after: Path) -> bool:
    """Print how two runs differ; return whether they are the same."""
    old, new = contents(before), contents(after)
    # A run that stops halfway draws a picture there that the undisturbed one does not.
    differing = [key for key in old if old[key] != new.get(key)]
    pictures = sum(key.startswith("samples/") for key in old)
    kinds = f"{len(old) - pictures} lines, {pictures} pictures"
    verdict = "the same" if not differing else f"{len(differing)} differ"
    print(f"{name}: {kinds}: {verdict}", flush=True)
    for key in sorted(differing)[:5]:
        print(f"    {key}", flush=True)
    return not differing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", required=True, help="git revision of the old code")
    parser.add_argument("--steps", type=int, default=0, help="0: the default lengths")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--keep", help="folder for the old code's runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        kept = Path(options.keep or temporary).resolve()
        code = kept / "code"
        if not code.exists():
            check_out(options.before, code)
        same = True
        for recipe in options.recipes.split(","):
            steps = options.steps or RECIPES[recipe]
            old = kept / f"{recipe}-{steps}"
            if not old.exists():
                train(code, recipe, old, steps)
            half = kept / f"{recipe}-{steps}-half"
            if not half.exists():
                train(code, recipe, half, steps // 2)
            new, resumed = Path(temporary, recipe), Path(temporary, f"{recipe}-resumed")
            train(ROOT, recipe, new, steps)
            subprocess.run(["cp", "-r", half, resumed], check=True)
            train(ROOT, recipe, resumed, steps)
            same &= report(recipe, old, new)
            same &= report(f"{recipe}, begun by the old code", old, resumed)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
