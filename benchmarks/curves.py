"""A figure of the critic's estimate of the distance over the steps of runs.

    python benchmarks/curves.py runs/wgan_gp-tutorial [WORKDIR ...] --out=curves.png

One panel for each workdir, with the estimate on training batches and on held-out
examples. Needs matplotlib, of the extra `bench`.
"""

import argparse
import io
import json
from pathlib import Path

CURVES = {"critic/wasserstein": "training", "heldout/wasserstein": "held out"}
PANEL_INCHES, DOTS_PER_INCH = (3.6, 2.7), 110


def read_curve(workdir: Path, metric: str) -> tuple[list[int], list[float]]:
    """Return the steps at which metrics.jsonl has `metric`, and its values."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if metric in row]
    return [row["step"] for row in rows], [row[metric] for row in rows]


def draw(workdirs: list[Path], out: Path) -> None:
    """Write the PNG: a panel for each workdir, in a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    width, height = PANEL_INCHES
    figure, panels = pyplot.subplots(
        1,
        len(workdirs),
        figsize=(width * len(workdirs), height),
        squeeze=False,
        layout="constrained",
    )
    for workdir, panel in zip(workdirs, panels[0], strict=True):
        for metric, name in CURVES.items():
            panel.plot(*read_curve(workdir, metric), label=name, linewidth=1)
        panel.set_title(workdir.resolve().name, fontsize=9)
        panel.set_xlabel("step (generator updates)", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    # The critic's unit of score is one of distance only where it is 1-Lipschitz.
    label = "E D(real) - E D(fake) (units of score)"
    panels[0, 0].set_ylabel(label, fontsize=8)
    panels[0, 0].legend(fontsize=8)
    png = io.BytesIO()
    figure.savefig(png, dpi=DOTS_PER_INCH)
    # 32 colours are plenty for two lines, and a third of the bytes.
    Image.open(png).convert("RGB").quantize(32).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    flags = parser.parse_args()
    for workdir in flags.workdirs:
        if not (workdir / "metrics.jsonl").is_file():
            parser.error(f"{workdir}: has no metrics.jsonl; is it a run's workdir?")
    draw(flags.workdirs, flags.out)


if __name__ == "__main__":
    main()
