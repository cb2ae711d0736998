"""The figure of what papers state against what their released code does: `python -m scripts.draw_paper_and_code`.

Shape suffixes: F rotated channel pairs of one axis.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.style
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, Context, Grid
from rpe2d_bench.report.figures import STYLE_FILE

DEFAULT = Path("docs/figures/paper_and_code.svg")
F = 18  # head width 72, DiT-XL/2
TRAIN = Grid(16, 16)  # 256 px
TWICE = Grid(32, 32)


def realised(name: str, t: float = 1.0, **options: object) -> Tensor:
    """Share of the base frequency that each channel keeps at twice the train grid, [F]."""
    ctx = Context(grid=TWICE, train_grid=TRAIN, t=torch.tensor([t]))
    return FREQUENCIES[name](**options)(ctx, 0, F)[0] / FREQUENCIES["geometric"]()(ctx, 0, F)[0]


def draw(path: Path) -> None:
    """Write the figure as .svg, .pdf or .png."""
    with matplotlib.style.context(STYLE_FILE):
        figure = Figure(figsize=(6.75, 3.2), layout="constrained")
        ramps, dype, scales = figure.subplots(1, 3)
        _ramps(ramps)
        _dype(dype)
        _scales(scales)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _ramps(axes: Axes) -> None:
    """YaRN's ramp is linear in turns in the paper and in the channel's index in the code."""
    shown = (("yarn", "yarn (code)", "o"), ("yarn_turns", "yarn_turns (paper)", "s"), ("ntk", "ntk", "^"))
    for name, label, marker in shown:
        axes.plot(realised(name), marker, linestyle="-", label=label, markersize=3)
    axes.set(title="YaRN's ramp, s = 2", xlabel="channel pair (fast to slow)", ylabel="realised / base frequency")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))


def _dype(axes: Axes) -> None:
    """DyPE's bounds were powers in 2025 and are products since 2026; the released code's bounds cross late."""
    ts = torch.linspace(0.0, 1.0, 201)
    for name, label, options in (
        ("dype_yarn", "dype_yarn (2026, paper)", {}),
        ("dype_yarn", "the same, bounds: code", {"bounds": "code"}),
        ("dype_yarn_2025", "dype_yarn_2025", {}),
    ):
        kept = [float(realised(name, float(t), **options).mean()) for t in ts]
        axes.plot(ts, kept, label=label, linestyle="--" if options else "-")
    axes.set(title="DyPE over time, s = 2", xlabel="t (0 = data, 1 = noise)", ylabel="mean over channels")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))


def _scales(axes: Axes) -> None:
    """FiTv2's paper states log_N0 N; its code computes log_N0 2N, 1.125 at the train grid."""
    sides = range(TRAIN.height, 3 * TRAIN.height + 1)
    for name, label in (
        ("proportional_log", "proportional_log (FiTv2 paper)"),
        ("fit_code", "fit_code (its code)"),
        ("proportional_sqrt", "proportional_sqrt (Jin et al.)"),
        ("yarn", "yarn"),
    ):
        rule = LOGIT_SCALES[name]()
        values = [float(rule(Context(grid=Grid(n, n), train_grid=TRAIN, t=torch.ones(1)))) for n in sides]
        axes.plot([n / TRAIN.height for n in sides], values, label=label)
    axes.set(title="Factor on the logits", xlabel="grid / train grid", ylabel="logit scale")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
