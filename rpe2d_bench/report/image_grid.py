"""Samples as a figure for papers: methods down, resolutions across."""

from __future__ import annotations

from matplotlib.figure import Figure

from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.figures import paper_style
from rpe2d_bench.report.images import StripRow, sample_image
from rpe2d_bench.resolution import Size

WIDTH = 6.75  # inches: the text width of a page
HEAD = 0.32  # inches for the resolutions
GAP = 0.05
FONT = 6.5


def image_grid(rows: list[StripRow], train: Size, tests: list[Size], count: int, inch: float | None = None) -> Figure:
    """Methods down, resolutions across, `count` images each, all at one scale: `inch` per pixel, or a page's width."""
    labels = 0.1 + 0.052 * max(len(row.name) + 2 for row in rows)  # inches
    gaps = GAP * sum(count + 1 for _ in tests)
    across = sum(test[1] for test in tests) * count
    width = WIDTH if inch is None else labels + gaps + across * inch
    inch = inch or (WIDTH - labels - gaps) / across
    tallest = max(test[0] for test in tests) * inch
    height = HEAD + len(rows) * (tallest + GAP)
    with paper_style(**{"axes.grid": False}):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))  # one inch is one unit
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        for number, row in enumerate(rows):
            middle = height - HEAD - number * (tallest + GAP) - tallest / 2
            axes.text(labels - GAP, middle, row.name, ha="right", va="center", fontsize=FONT)
            left = labels
            for test in tests:
                wide, tall = test[1] * inch, test[0] * inch
                span = count * (wide + GAP) - GAP
                if number == 0:
                    words = f"{size_label(test)}\n{scale_label(test, train)}"
                    axes.text(left + span / 2, height - 0.03, words, ha="center", va="top", fontsize=FONT)
                strip = row.strips.get(test)
                if strip is None:
                    axes.text(left + span / 2, middle, "–", ha="center", va="center", fontsize=7, color="#808080")
                for index, image_CHW in enumerate(strip.images_NCHW[:count] if strip else ()):
                    x = left + index * (wide + GAP)
                    place = (x, x + wide, middle - tall / 2, middle + tall / 2)
                    axes.imshow(sample_image(image_CHW).convert("RGB"), interpolation="nearest", extent=place)
                left += span + 2 * GAP
        axes.set(xlim=(0, width), ylim=(0, height))
    return figure
