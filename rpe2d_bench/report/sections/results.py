"""Every metric: its values, its excess over the floor, its differences from the reference method, and its curve."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, size_label
from rpe2d_bench.report.content import Block, Content, Text
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import FORMATS, bar_words, metric_curve
from rpe2d_bench.report.tables import at, tables_of
from rpe2d_bench.resolution import Size

MANY = 2_000  # records: in a report of more the curves of metrics beside the main one are vectors alone
WORDS = (
    "Each number compares generated images with real ones of the same size. The floor is what real images score against"
    " other real images: no method can be expected below it."
)
OF_MODELS = "Each number is measured inside the models, on real images of that size; nothing is sampled."


def build(results: Results, store: Path) -> Content:
    """The main metric's values in the open (its curve is in the head), all else folded."""
    sampled = any(metric.has_floor for metric in results.metrics)
    blocks: list[Block] = [Text(WORDS if sampled else OF_MODELS)]
    for train in results.resolutions if results.metrics else ():
        if len(results.resolutions) > 1:
            blocks.append(Text(f"Trained at {size_label(train)} px", "heading"))
        for metric in results.metrics:
            tables = tables_of(results, metric, train)
            if metric == results.main_metric:
                blocks += [tables[0], *(Content(table.title, (table,)) for table in tables[1:])]
            else:
                title = f"{metric.heading}: {metric.explanation}"
                blocks.append(Content(title, (curve(results, metric, train), *tables)))
    return Content("Results", tuple(blocks) if results.metrics else (), printed=True)


def curve(results: Results, metric: Quantity, train: Size) -> Drawing:
    """The metric over test resolution with its words."""
    sizes = ", ".join(size_label(test) for test in results.resolutions[train])
    direction = {"lower": "Lower is better. ", "higher": "Higher is better. "}.get(metric.better or "", "")
    return drawing(
        metric_curve(results, metric, train),
        f"{metric.key}_{at(train)}",
        f"{metric.label} over test resolution",
        f"{metric.label} of {len(results.methods)} methods at {sizes} pixels; the numbers are in the table.",
        f"{metric.label}: {metric.explanation}. Mean over seeds; {bar_words(results)}. {direction}"
        "Dashed grey: real against real images. Marks are shifted sideways a little so that they do not hide each"
        " other; line styles tell the trained models apart.",
        FORMATS if metric == results.main_metric else ("svg", "png") if len(results.records) <= MANY else ("svg",),
    )
