"""Figures of a run, drawn with matplotlib's object interface (no global state, no display)."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from rpe2d_bench.analysis.palette import styles_of
from rpe2d_bench.analysis.real_names import NAMES
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import Estimate
from rpe2d_bench.analysis.vocabulary import Quantity, legend_label, scale_label, side, size_label
from rpe2d_bench.report.values import put_value, spoken
from rpe2d_bench.resolution import Size

STYLE_FILE = Path(__file__).with_name("paper.mplstyle")
FORMATS = ("svg", "pdf", "png")
FLOOR_LABEL = NAMES["floor"].row
LOG_FROM = 15.0  # a wider range of means than this is drawn on a logarithmic axis


@contextmanager
def paper_style(**changes: Any) -> Iterator[None]:
    """The style file of all figures; changes are further rcParams."""
    settings: Any = changes
    with mpl.rc_context(fname=STYLE_FILE, rc=settings):
        yield


def lay_out(figure: Figure) -> None:
    """Fix the layout: otherwise it is solved again for every file, which costs more than drawing."""
    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine | None):
        with paper_style():
            figure.draw_without_rendering()
        figure.set_layout_engine("none")


def files_of(figure: Figure, formats: tuple[str, ...] = FORMATS, **options: Any) -> dict[str, bytes]:
    """The figure in several formats (options: savefig's); without dates, so that equal records give equal files."""
    files = {}
    lay_out(figure)
    with paper_style():
        for kind in formats:
            out = io.BytesIO()
            no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}[kind]
            figure.savefig(out, format=kind, metadata=no_date, **options)
            files[kind] = out.getvalue()
    return files


def svg_text(figure: Figure) -> str:
    """The figure as an SVG element with real text, to be set into a page."""
    out = io.StringIO()
    lay_out(figure)
    with paper_style(**{"svg.fonttype": "none", "savefig.transparent": True}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def metric_curve(results: Results, metric: Quantity, train: Size) -> Figure:
    """The metric over test resolution: squares on a line, other shapes beside them; floor in grey."""
    squares = [test for test in results.resolutions[train] if test[0] == test[1]]
    others = [test for test in results.resolutions[train] if test[0] != test[1]]
    with paper_style():
        figure = Figure(layout="constrained")
        ratios = [max(len(squares), 2), len(others) * 0.9] if others and squares else [1]
        axes = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios, squeeze=False)[0]
        if squares:
            axes[0].set_xscale("log", base=2)
            _panel(axes[0], results, metric, train, squares, [side(test) for test in squares], line=True)
            axes[0].set_xlim(side(squares[0]) / 1.09, side(squares[-1]) * 1.09)
            axes[0].set_xlabel("test resolution (pixels, scale)")
            if train in squares:
                axes[0].axvline(side(train), color="#808080", linewidth=0.8, linestyle=":", zorder=0)
                axes[0].annotate("trained here", (side(train), 1.0), xycoords=("data", "axes fraction"), fontsize=6.5,
                                 xytext=(0, 2), textcoords="offset points", ha="center", color="#808080")  # fmt: skip
        if others:
            places = [float(place) for place in range(len(others))]
            _panel(axes[-1], results, metric, train, others, places, line=False)
            axes[-1].set_xlim(-0.6, len(others) - 0.4)
            axes[-1].set_xlabel("not square (height×width)")
        axes[0].set_ylabel(metric.heading)
        _vertical_scale(axes[0], results, metric, train)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _panel(
    axes: Axes, results: Results, metric: Quantity, train: Size, tests: list[Size], places: list[float],
    *, line: bool,
) -> None:  # fmt: skip
    look, models = styles_of(results), results.models
    for place_of, (method, style) in enumerate(look.items()):
        number = style.index
        spot = (place_of - (len(look) - 1) / 2) / max(len(look), 1)  # -0.5 .. 0.5, so that bars do not hide each other
        points = [
            (place * 1.04**spot if line else place + 0.5 * spot, found, test)
            for place, test in zip(places, tests, strict=True)
            if (found := results.estimate(method, train, test, metric))
        ]
        model = results.methods[method].model
        if not points:
            axes.plot([], [], color=style.colour, marker=style.marker, label=legend_label(f"{method} (no result)"))
            continue
        mark = " †" if results.is_undertrained(method, train) else ""
        xs, ys = [p[0] for p in points], [p[1].mean for p in points]
        (drawn,) = axes.plot(
            xs, ys, color=style.colour, marker=style.marker, markeredgecolor="none", label=legend_label(method + mark),
            linestyle=style.dash(models.index(model) if model in models else 0) if line else "none",
        )  # fmt: skip
        drawn.set_gid(f"series-{number}-line-{int(line)}")
        ends = []
        for x, found, test in points:
            low, high = bar(found, list(results.by_seed(method, train, test, metric).values()))
            ends.append((x, low, high))
            where = f"{size_label(test)} px ({scale_label(test, train)})"
            put_value(axes, x, found.mean, f"{method}{mark}, {where}: {spoken(found)}", number)
        whiskers = axes.vlines(*zip(*ends, strict=True), color=style.colour, linewidth=1.0, alpha=0.8)
        whiskers.set_gid(f"series-{number}-bars-{int(line)}")
    real = [(place, found, test) for place, test in zip(places, tests, strict=True)
            if (found := results.real.floor(train, test, metric))]  # fmt: skip
    if real:
        axes.plot([r[0] for r in real], [r[1].mean for r in real], color="#808080", linestyle="--" if line else "none",
                  marker="_", linewidth=1.0, label=FLOOR_LABEL)  # fmt: skip
    for place, found, test in real:
        put_value(axes, place, found.mean, f"{FLOOR_LABEL}, {size_label(test)} px: {spoken(found)}")
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.set_xticks(places, [f"{size_label(test)}\n{scale_label(test, train)}" for test in tests])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)


def bar(found: Estimate, values: list[float]) -> tuple[float, float]:
    """The bar that is drawn: the 95 % interval from three seeds on, the range of the values with two.

    Student's interval over two seeds is 13 standard errors wide and would hide the figure; tables give it.
    """
    if found.n >= 3 and found.low is not None and found.high is not None:
        return found.low, found.high
    return min(values), max(values)


def bar_words(results: Results) -> str:
    """What the bars of the figures mean."""
    if len(results.seeds) >= 3:
        return f"bars: 95 % interval over {len(results.seeds)} seeds"
    return "bars: both seeds" if len(results.seeds) == 2 else "one seed, no bars"


def _vertical_scale(axes: Axes, results: Results, metric: Quantity, train: Size) -> None:
    """Logarithmic where the methods span much; the floor may then lie below the axis, and the legend says so."""
    tests = results.resolutions[train]
    found = [results.estimate(method, train, test, metric) for test in tests for method in results.methods]
    means = [each.mean for each in found if each and math.isfinite(each.mean)]
    if metric.unit == "%":
        axes.set_ylim(-3, 103)
    elif means and min(means) > 0 and max(means) / min(means) > LOG_FROM:
        logarithmic(axes.yaxis, min(means), max(means))
        floors = [floor.mean for test in tests if (floor := results.real.floor(train, test, metric))]
        shown = [floor for floor in floors if floor >= min(means) / 10]
        axes.set_ylim(bottom=min([*means, *shown]) / 1.5)
        if len(shown) < len(floors):
            where = "partly below" if shown else "below"
            for line in axes.get_lines():
                if line.get_label() == FLOOR_LABEL:
                    line.set_label(f"real images\n(floor, {where} the axis)")
    elif means and min(means) <= 0 and max(means) > LOG_FROM * max(abs(min(means)), 1e-12):
        axes.set_yscale("symlog", linthresh=max(2 * abs(min(means)), max(means) / 100))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def logarithmic(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis with enough plain numbers to be read, also where it covers little more than a decade."""
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
