"""Quality over training compute, where the methods of a run differ in it: a figure, and what compute is saved."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

from rpe2d_bench.analysis.palette import Style
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, legend_label, size_label
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import LOG_FROM, bar, bar_words, logarithmic, paper_style
from rpe2d_bench.report.sections.cost import training_flops
from rpe2d_bench.report.table import Table, count, plain
from rpe2d_bench.report.tables import at
from rpe2d_bench.report.values import put_value, spoken
from rpe2d_bench.resolution import Size


def build(results: Results, store: Path) -> Content:
    """Figure and table of each train resolution where methods differ in compute."""
    metric, blocks = results.main_metric, []
    for train in results.resolutions:
        blocks += [compute_curve(results, metric, train), compute_needed(results, metric, train)]
    return Content("Quality over compute", tuple(block for block in blocks if block))


def family(method: str) -> str:
    """Methods that differ in a number at the end of their name are one family at several budgets."""
    return re.sub(r"_\d+$", "", method)


def families(results: Results, metric: Quantity, train: Size) -> dict[str, list[tuple[float, str]]]:
    """Family -> (FLOPs, method) in rising order, of the methods that have a result at the train resolution."""
    found: dict[str, list[tuple[float, str]]] = {}
    for method in results.methods:
        flops = training_flops(results, method, train)
        if flops and results.estimate(method, train, train, metric):
            found.setdefault(family(method), []).append((flops, method))
    return {name: sorted(points) for name, points in found.items()}


def compute_curve(results: Results, metric: Quantity | None, train: Size) -> Drawing | None:
    """Metric at the train resolution over FLOPs, a line per family; None unless a family has several budgets."""
    if metric is None or train not in results.resolutions.get(train, []):
        return None
    points = families(results, metric, train)
    if not any(len({flops for flops, _ in found}) > 1 for found in points.values()):
        return None
    values = []
    with paper_style():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        for number, (name, found) in enumerate(points.items()):
            style = Style(number)
            xs, means, lows, highs = [], [], [], []
            for flops, method in found:
                estimate = results.estimate(method, train, train, metric)
                assert estimate is not None
                low, high = bar(estimate, list(results.by_seed(method, train, train, metric).values()))
                xs.append(flops / 1e12)
                means.append(estimate.mean)
                lows.append(low)
                highs.append(high)
                put_value(axes, flops / 1e12, estimate.mean, f"{method}, {count(flops)}FLOP: {spoken(estimate)}")
            axes.plot(xs, means, color=style.colour, marker=style.marker, markeredgecolor="none",
                      label=legend_label(name))  # fmt: skip
            axes.vlines(xs, lows, highs, color=style.colour, linewidth=1.0, alpha=0.8)
            values += means
        if min(values) > 0 and max(values) / min(values) > LOG_FROM / 3:
            logarithmic(axes.yaxis, min(values), max(values))
        axes.set_xlabel("training compute, all stages (TFLOP)")
        axes.set_ylabel(metric.heading)
        figure.legend(loc="outside right center")
    text = "; ".join(f"{m}: {f / 1e12:.3g} TFLOP" for found in points.values() for f, m in found)
    return drawing(
        figure,
        f"compute_{at(train)}",
        f"Quality at {size_label(train)} px over training compute",
        f"{metric.label} of {len(results.methods)} methods over the FLOPs of their training. {text}.",
        "FLOPs of matrix products, forward and backward, with the stages before. Every point is a finished schedule; "
        f"lines join methods whose names differ in the number at the end. {bar_words(results)}.",
    )


def compute_needed(results: Results, metric: Quantity | None, train: Size) -> Table | None:
    """Share of a model's compute at which each family is as good: between two budgets linear over log FLOPs.

    A column is the longest-trained model of a family, a row a family; None unless a family has several budgets.
    """
    if metric is None or metric.better is None or train not in results.resolutions.get(train, []):
        return None
    points = families(results, metric, train)
    goals = {name: found[-1] for name, found in points.items() if len({flops for flops, _ in found}) > 1}
    if not goals:
        return None
    sign = 1.0 if metric.better == "lower" else -1.0
    means = {method: sign * mean for method, mean in results.means(results.methods, train, train, metric).items()}
    rows = []
    for name, found in points.items():
        curve, cells = [(flops, means[method]) for flops, method in found], []
        for budget, goal in goals.values():
            needed, tried = flops_to_reach(curve, means[goal]), curve[-1][0]
            if needed is None:
                cells.append(f"not by {100 * tried / budget:.0f} %")
            else:
                cells.append(f"{'at most ' if needed == curve[0][0] else ''}{100 * needed / budget:.0f} %")
        rows.append((name, *cells))
    return plain(
        f"compute_needed_{at(train)}",
        f"Share of a model's training compute at which another is as good, by {metric.label} at {size_label(train)} px",
        ("to be as good as", *(method for _, method in goals.values())),
        rows,
        numbers=True,
        note="From the means over seeds, linear between two budgets over the logarithm of FLOPs; with few seeds these "
        "shares are rough. 'At most': the smallest budget that was tried is as good already.",
        methods=results.methods,
    )


def flops_to_reach(curve: list[tuple[float, float]], aim: float) -> float | None:
    """Least FLOPs at which (FLOPs, value) in rising FLOPs, lower better, comes down to `aim`; None if it does not."""
    before: tuple[float, float] | None = None
    for flops, value in curve:
        if value <= aim:
            if before is None or before[1] == value:
                return flops
            share = (before[1] - aim) / (before[1] - value)
            return float(before[0] * (flops / before[0]) ** share)
        before = (flops, value)
    return None
