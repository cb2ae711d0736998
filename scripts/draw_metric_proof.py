"""The proof that the metrics measure, as a figure and a table: from the CSV of `scripts.metric_proof`.

python -m scripts.draw_metric_proof proof.csv proof.svg proof.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from rpe2d_bench.errors import UserError
from rpe2d_bench.report.figures import STYLE_FILE

COLUMNS = ("corruption", "strength", "metric", "value", "floor", "floor_spread", "excess", "rank")
SEEN = 3.0  # floor deviations


def read(path: Path) -> pd.DataFrame:
    """The rows of a proof, with the rank of each strength within its corruption."""
    try:
        rows = pd.read_csv(path)
        rows["rank"] = rows.groupby(["corruption", "metric"]).cumcount()
        return rows[list(COLUMNS)]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not the CSV of a metric proof ({error}); make it again") from error


def figure(rows: pd.DataFrame) -> Figure:
    """Metrics x (corruption, strength): how many floor deviations worse, on a log scale; blank below `SEEN`."""
    metrics, corruptions = list(rows["metric"].unique()), list(rows["corruption"].unique())
    with style.context(STYLE_FILE):
        drawn = Figure(figsize=(6.75, 0.7 + 0.17 * len(metrics)), layout="constrained")
        axes = drawn.subplots(1, len(corruptions), sharey=True, squeeze=False)[0]
        shade = mpl.colormaps["viridis_r"].with_extremes(under="none")
        scale = mpl.colors.LogNorm(SEEN, 99)
        for ax, corruption in zip(axes, corruptions, strict=True):
            part = rows[rows["corruption"] == corruption]
            grid = part.pivot(index="metric", columns="rank", values="excess").reindex(metrics).to_numpy(float)
            ax.imshow(np.maximum(grid, SEEN / 2), cmap=shade, norm=scale, aspect="auto", interpolation="nearest")
            strengths = part.drop_duplicates("rank")["strength"]
            ax.set_xticks([0, len(strengths) - 1], [f"{strengths.iloc[0]:g}", f"{strengths.iloc[-1]:g}"], fontsize=5)
            ax.set_title(corruption, fontsize=6.5, rotation=30, ha="left", x=0.0)
            ax.grid(False)
            ax.tick_params(length=0)
        axes[0].set_yticks(range(len(metrics)), metrics)
        bar = drawn.colorbar(mpl.cm.ScalarMappable(scale, shade), ax=list(axes), ticks=[3, 10, 30, 99], pad=0.01)
        bar.ax.set_yticklabels(["3", "10", "30", "≥ 99"])
        bar.ax.minorticks_off()
        bar.set_label("floor deviations worse", fontsize=6.5)
    return drawn


def table(rows: pd.DataFrame) -> str:
    """Markdown: the smallest strength each metric sees, `!` where it does not rise from there on, blank if never."""
    corruptions = list(rows["corruption"].unique())
    lines = ["| metric | floor | " + " | ".join(corruptions) + " |", "|---" * (len(corruptions) + 2) + "|"]
    for metric, of_metric in rows.groupby("metric", sort=False):
        cells = [f"{of_metric['floor'].iloc[0]:.3g} ± {of_metric['floor_spread'].iloc[0]:.2g}"]
        for corruption in corruptions:
            part = of_metric[of_metric["corruption"] == corruption]
            excess = part["excess"].to_numpy(float)
            seen = np.flatnonzero(excess >= SEEN)
            if not len(seen):
                cells.append("")
                continue
            rises = bool((np.diff(excess[seen[0] :]) >= -1.0).all())  # within one deviation of the floor
            cells.append(f"{part['strength'].iloc[seen[0]]:g}{'' if rises else ' !'}")
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: CSV in, figure and table out."""
    given = [Path(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    if len(given) != 3:
        raise UserError("write: python -m scripts.draw_metric_proof proof.csv proof.svg proof.md")
    rows = read(given[0])
    with style.context(STYLE_FILE):  # which also keeps the ids of an SVG from changing
        figure(rows).savefig(given[1], metadata={"Date": None} if given[1].suffix == ".svg" else None)
    given[2].write_text(table(rows))


if __name__ == "__main__":
    main()
