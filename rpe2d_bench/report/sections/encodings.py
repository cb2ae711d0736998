"""What each method really did at one size: how fast each channel turned, and where the tokens were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rpe2d_bench.analysis.palette import styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import paper_style
from rpe2d_bench.report.tables import at
from rpe2d_bench.report.values import put_value
from rpe2d_bench.resolution import Size

if TYPE_CHECKING:
    from rpe2d_bench.encodings.describe import Realised


def build(results: Results, store: Path) -> Content:
    """Frequencies and positions at the largest square of each train resolution."""
    drawn = [found for train in results.resolutions if (found := ramps(results, train))]
    return Content("What the encodings do", tuple(drawn))


def ramps(results: Results, train: Size) -> Drawing | None:
    """Both as one figure, at the largest square test resolution; None where the records do not say enough.

    Needs what training records about the model: tokens, head_width, heads.
    """
    test = largest(results, train)
    shown = {} if test is None else {m: r for m in results.methods if (r := realised(results, m, train, test))}
    if not shown or test is None:
        return None
    with paper_style():
        figure = Figure(figsize=(6.75, 1.5 + 0.22 * max(6, len(shown))), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        scale = test[0] / train[0]
        for row, (method, found) in enumerate(shown.items()):
            style = styles_of(results)[method]
            aside = 0.012 * (row - (len(shown) - 1) / 2)  # lines that coincide stay visible
            ratios = [c.frequency / c.base + aside for c in found.channels if c.axis == "height"]
            if ratios:
                (line,) = left.plot(range(len(ratios)), ratios, color=style.colour, marker=style.marker)
                line.set_gid(f"series-{style.index}-ramp")
            for pair, ratio in enumerate(ratios):
                put_value(left, pair, ratio, f"{method}, channel pair {pair}: {ratio - aside:.3g}", style.index)
        for level in (1.0, 1 / scale):
            left.axhline(level, color="#808080", linewidth=0.8, linestyle="--", zorder=0)
        left.set(xlabel="channel pair, fast to slow", ylabel="frequency / trained base", ylim=(0, None))
        placed = {method: found.positions["height"] for method, found in shown.items() if found.positions}
        for row, (method, values) in enumerate(placed.items()):
            style = styles_of(results)[method]
            (ticks,) = right.plot(values, [row] * len(values), "|", color=style.colour, markersize=8)
            ticks.set_gid(f"series-{style.index}-places")
        end = tokens_along(results, train)
        if end:
            right.axvspan(0, end - 1, color="#808080", alpha=0.15, linewidth=0, zorder=0)
        right.set_yticks(range(len(placed)), [f"{m}, ×{shown[m].logit_scale:.2f}" for m in placed])
        right.set(xlabel="position of each row of tokens", ylim=(len(placed) - 0.4, -0.6))
        right.grid(axis="y", visible=False)
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    size = size_label(test)
    return drawing(
        figure,
        f"ramps_{at(train)}",
        f"What the methods do at {size} px",
        f"Frequencies relative to training, and positions of the rows of tokens, of {len(shown)} methods at {size} px.",
        "Left: how fast each channel pair turns, relative to the base it was trained with; 1 leaves it alone,"
        f" 1/{scale:g} interpolates it fully (lines are moved apart a little). Right: where the rows of tokens are;"
        " grey: the positions of the train grid; beside each name the factor on attention's logits. Height axis,"
        " halfway through sampling (t = 0.5).",
    )


def largest(results: Results, train: Size) -> Size | None:
    """The largest square test resolution."""
    squares = [test for test in results.resolutions[train] if test[0] == test[1]]
    return max(squares, default=None)


def tokens_along(results: Results, train: Size) -> int | None:
    """Rows of tokens of the train grid, as some training recorded them."""
    trained = results.find("train", train_resolution=train, status="ok")
    return next((record.training.grid[0] for record in trained if record.training), None)


def realised(results: Results, method: str, train: Size, test: Size) -> Realised | None:
    """The numbers behind one method; None where they cannot be worked out again (other code, a missing plug-in)."""
    cells = [record for record in results.cell(method, train, test) if record.status == "ok"]
    models = results.find("train", model=results.methods[method].model, train_resolution=train, status="ok")
    sampling, training = cells[0].sampling if cells else None, models[0].training if models else None
    if sampling is None or training is None or sampling.grid is None or sampling.generated_resolution != test:
        return None  # what was generated small and enlarged used the encoding as trained
    from rpe2d_bench.encodings import EncodingSpec, Grid
    from rpe2d_bench.encodings.describe import describe
    from rpe2d_bench.errors import UserError

    try:
        spec = EncodingSpec.parse(sampling.trained_encoding).replace(sampling.replacements)
        grids = Grid(*sampling.grid), Grid(*training.grid)
        return describe(spec, *grids, head_width=training.head_width, heads=training.heads)
    except (UserError, KeyError, TypeError, ValueError):
        return None
