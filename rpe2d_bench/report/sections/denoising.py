"""Where in time each rule wins: the denoising error by noise level, against the reference method."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpe2d_bench.analysis.palette import styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import legend_label, scale_label, size_label
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import paper_style
from rpe2d_bench.report.table import number
from rpe2d_bench.report.tables import at
from rpe2d_bench.report.values import put_value
from rpe2d_bench.resolution import Size

ACROSS = 3  # panels in a row at most


def build(results: Results, store: Path) -> Content:
    """Of each train resolution where something was denoised."""
    drawn = [found for train in results.resolutions if (found := wins_by_time(results, train))]
    return Content("Denoising error by time", tuple(drawn))


def by_time(results: Results, method: str, train: Size, test: Size) -> dict[float, float]:
    """Time (0 = data, 1 = noise) -> denoising error, mean over seeds; empty where it was not measured."""
    found: dict[float, list[float]] = {}
    for record in results.cell(method, train, test):
        details = record.measurement and record.measurement.denoising_error
        for time, error in details.by_time.items() if details else ():
            if error is not None:
                found.setdefault(float(time), []).append(error)
    return {time: fmean(errors) for time, errors in found.items()}


def wins_by_time(results: Results, train: Size) -> Drawing | None:
    """A panel per test resolution: each method's error over the reference method's at every noise level.

    Without a reference method: over the lowest of all methods. None where nothing was denoised.
    """
    found = {
        test: {m: errors for m in results.methods if (errors := by_time(results, m, train, test))}
        for test in results.resolutions[train]
    }
    tests = [test for test, methods in found.items() if len(methods) > 1]
    if not tests:
        return None
    down = -(-len(tests) // ACROSS)
    with paper_style():
        figure = Figure(figsize=(6.75, 0.7 + 1.75 * down), layout="constrained")
        grid = figure.subplots(down, min(ACROSS, len(tests)), squeeze=False, sharex=True, sharey=True)
        for number, spare in enumerate(grid.flat):
            spare.set_visible(number < len(tests))
        for axes, test in zip(grid.flat, tests, strict=False):
            _panel(axes, results, found[test])
            axes.set_title(f"{size_label(test)} px ({scale_label(test, train)})")
        figure.supxlabel("t (0 = data, 1 = noise)", fontsize=8)
        figure.supylabel(f"error against {results.reference or 'the lowest'} (%)", fontsize=8)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    against = f"that of {results.reference}" if results.reference else "the lowest of all methods"
    return drawing(
        figure,
        f"denoising_{at(train)}",
        "Where in time each rule wins",
        f"Denoising error by noise level at {len(tests)} test resolutions, relative to {against}.",
        f"Mean squared error of the clean image that each model implies on noised held-out images, relative to"
        f" {against} at the same noise level, mean over seeds; below 0 is better. No sampling is involved. At small t"
        " texture is decided, at large t the layout.",
    )


def _panel(axes: Axes, results: Results, found: dict[str, dict[float, float]]) -> None:
    times = sorted(set.intersection(*(set(errors) for errors in found.values())))
    base = found.get(results.reference or "")
    for method, style in styles_of(results).items():
        errors = found.get(method, {})
        against = [base[t] if base else min(other[t] for other in found.values()) for t in times]
        ys = [100 * (errors[t] / b - 1) for t, b in zip(times, against, strict=True)] if errors else []
        (line,) = axes.plot(times if errors else [], ys, color=style.colour, marker=style.marker, markersize=3,
                            label=legend_label(method))  # fmt: skip
        line.set_gid(f"series-{style.index}-times")
        for t, y in zip(times, ys, strict=False):
            put_value(axes, t, y, f"{method}, t = {t:g}: {number(y)} %", style.index)
    axes.axhline(0, color="#808080", linewidth=0.8, linestyle="--", zorder=0)
