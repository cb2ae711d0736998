"""The plane of structure lost against detail lost: where a method fails, not only how much."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from rpe2d_bench.analysis.palette import styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, legend_label, scale_label, size_label
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import LOG_FROM, logarithmic, paper_style
from rpe2d_bench.report.table import number
from rpe2d_bench.report.tables import at
from rpe2d_bench.report.values import put_value
from rpe2d_bench.resolution import Size

ACROSS = 4  # panels in a row at most


def build(results: Results, store: Path) -> Content:
    """One plane per train resolution that has sizes beside its own."""
    drawn = [found for train in results.resolutions if (found := plane(results, train))]
    return Content("Structure and detail", tuple(drawn))


def plane(results: Results, train: Size) -> Drawing | None:
    """A panel per test resolution beyond the trained one; None where no global and local distance was measured."""
    pair = axes_of(results)
    if pair is None:
        return None
    whole, detail = pair
    tests = [test for test in results.resolutions[train] if test != train and _points(results, train, test, pair)]
    if not tests:
        return None
    down = -(-len(tests) // ACROSS)
    across = -(-len(tests) // down)  # rows of about the same length
    with paper_style():
        figure = Figure(figsize=(6.75, 0.7 + 1.75 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for number, spare in enumerate(grid.flat):
            spare.set_visible(number < len(tests))
            spare.tick_params(labelbottom=number + across >= len(tests))  # the lowest panel of each column
        for axes, test in zip(grid.flat, tests, strict=False):
            _panel(axes, results, train, test, pair)
            axes.set_title(f"{size_label(test)} px ({scale_label(test, train)})")
        first = grid.flat[0]
        for axis, metric in ((first.xaxis, whole), (first.yaxis, detail)):
            values = [p[axis is first.yaxis] for test in tests for p in _points(results, train, test, pair).values()]
            if min(values) > 0 and max(values) / min(values) > LOG_FROM:
                for axes in grid.flat:
                    logarithmic(axes.yaxis if metric is detail else axes.xaxis, min(values), max(values))
                    if metric is whole and max(values) / min(values) > 30:  # a narrow panel has no room for more
                        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
        figure.supxlabel(f"structure lost → ({whole.heading.rstrip(' ↓')})", fontsize=8)
        figure.supylabel(f"detail lost → ({detail.heading.rstrip(' ↓')})", fontsize=8)
        handles, labels = first.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return drawing(
        figure,
        f"plane_{at(train)}",
        "Structure lost against detail lost",
        f"{whole.label} against {detail.label} of each method at {len(tests)} test resolutions.",
        f"{whole.label}: {whole.explanation}. {detail.label}: {detail.explanation}. Means over seeds. A method at the"
        " bottom left is good at both; far right, objects are wrong; far up, texture and edges are. Grey lines: real"
        " against real images, where that is above zero.",
    )


def axes_of(results: Results) -> tuple[Quantity, Quantity] | None:
    """The global and the local distance of one kind, if both were measured."""
    for kind in ("fd", "kid"):
        both = [next((m for m in results.metrics if m.name == f"{kind}_{view}"), None)
                for view in ("global", "local")]  # fmt: skip
        if both[0] and both[1]:
            return both[0], both[1]
    return None


def _points(
    results: Results, train: Size, test: Size, pair: tuple[Quantity, Quantity]
) -> dict[str, tuple[float, float]]:
    found = {}
    for method in results.methods:
        x, y = (results.estimate(method, train, test, metric) for metric in pair)
        if x and y:
            found[method] = (x.mean, y.mean)
    return found


def _panel(axes: Axes, results: Results, train: Size, test: Size, pair: tuple[Quantity, Quantity]) -> None:
    points = _points(results, train, test, pair)
    for method, style in styles_of(results).items():
        x, y = points.get(method, (float("nan"), float("nan")))
        mark = " †" if results.is_undertrained(method, train) else ""
        (drawn,) = axes.plot([x], [y], color=style.colour, marker=style.marker, linestyle="none", markersize=6,
                             markeredgecolor="none", label=legend_label(method + mark))  # fmt: skip
        drawn.set_gid(f"series-{style.index}-plane-{size_label(test)}")
        if method in points:
            words = f"{pair[0].short} {number(x)}, {pair[1].short} {number(y)}"
            put_value(axes, x, y, f"{method}{mark}, {size_label(test)} px: {words}", style.index)
    for metric, line in ((pair[0], axes.axvline), (pair[1], axes.axhline)):
        if real := results.real.floor(train, test, metric):
            line(real.mean, color="#808080", linestyle="--", linewidth=0.8, zorder=0)
