"""Strips set into one image: an overview over resolutions for papers, a contact sheet per resolution."""

from __future__ import annotations

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.figures import paper_style
from rpe2d_bench.report.strips import REAL, Strip, sample_image
from rpe2d_bench.storage.records import Resolution

Strips = dict[tuple[str, Resolution], Strip]
OVERVIEW_IMAGES = 2  # per method and resolution
WIDTH = 6.75  # inches: the text width of a page
HEAD = 0.32  # inches for the resolutions
GAP = 0.05
FONT = 6.5


def overview(results: Results, strips: Strips, real: dict[Resolution, Strip], train: Resolution) -> Figure:
    """Methods down, resolutions across, all images at the same scale: a pixel is as large everywhere."""
    tests = [test for test in results.resolutions[train] if any(key[1] == test for key in strips)]
    methods = [method for method in results.methods if any(key[0] == method for key in strips)]
    rows = [REAL, *methods] if real else methods
    labels = 0.1 + 0.052 * max(len(row) + 2 for row in rows)  # inches
    across = sum(test[1] for test in tests) * OVERVIEW_IMAGES
    inch = (WIDTH - labels - GAP * len(tests) * (OVERVIEW_IMAGES + 1)) / across  # inches per pixel
    tallest = max(test[0] for test in tests) * inch
    height = HEAD + len(rows) * (tallest + GAP)
    with paper_style(**{"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))  # one inch is one unit
        axes.set_axis_off()
        axes.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
        for row, method in enumerate(rows):
            middle = height - HEAD - row * (tallest + GAP) - tallest / 2
            mark = " †" if method in results.methods and results.is_undertrained(method, train) else ""
            axes.text(labels - GAP, middle, method + mark, ha="right", va="center", fontsize=FONT)
            left = labels
            for test in tests:
                wide, tall = test[1] * inch, test[0] * inch
                span = OVERVIEW_IMAGES * (wide + GAP) - GAP
                if row == 0:
                    words = f"{size_label(test)}\n{scale_label(test, train)}"
                    axes.text(left + span / 2, height - 0.03, words, ha="center", va="top", fontsize=FONT)
                strip = real.get(test) if method == REAL else strips.get((method, test))
                if strip is None:
                    axes.text(left + span / 2, middle, "–", ha="center", va="center", fontsize=7, color="#808080")
                for index, image_CHW in enumerate(strip.images_NCHW[:OVERVIEW_IMAGES] if strip else ()):
                    x = left + index * (wide + GAP)
                    place = (x, x + wide, middle - tall / 2, middle + tall / 2)
                    axes.imshow(sample_image(image_CHW), interpolation="nearest", extent=place)
                left += span + 2 * GAP
        axes.set(xlim=(0, WIDTH), ylim=(0, height))
    return figure


def contact_sheet(
    results: Results, strips: Strips, real: dict[Resolution, Strip], test: Resolution
) -> Image.Image | None:
    """One strip per method at one resolution, names on the left; small images enlarged by whole factors."""
    rows = [(method, strips[method, test]) for method in results.methods if (method, test) in strips]
    if not rows:
        return None
    if test in real:
        rows.insert(0, (REAL, real[test]))
    enlarge = max(1, 96 // max(test))
    font = ImageFont.load_default(size=13)
    images = [
        raw.resize((raw.width * enlarge, raw.height * enlarge), Image.Resampling.NEAREST)
        for raw in (strip.image for _, strip in rows)
    ]
    left = int(max(font.getlength(method) for method, _ in rows)) + 16
    pitch = max(images[0].height + 4, 18)
    sheet = Image.new("RGB", (left + max(image.width for image in images) + 4, pitch * len(rows) + 4), "white")
    draw = ImageDraw.Draw(sheet)
    for row, ((method, _), image) in enumerate(zip(rows, images, strict=True)):
        top = 4 + row * pitch
        draw.text((8, top + image.height / 2), method, fill="black", font=font, anchor="lm")
        sheet.paste(image, (left, top))
    return sheet
