"""Strips set into one picture: an overview over resolutions for papers, a contact sheet per resolution."""

from __future__ import annotations

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from rpe2d_bench.records import Resolution
from rpe2d_bench.report.figures import paper_style
from rpe2d_bench.report.results import Results
from rpe2d_bench.report.strips import Strip, picture
from rpe2d_bench.report.vocabulary import scale_label, size_label

Strips = dict[tuple[str, Resolution], Strip]
OVERVIEW_PICTURES = 2  # per method and resolution
WIDTH = 6.75  # inches: the text width of a page
LABELS = 1.05  # inches for the methods' names
GAP = 0.05


def overview(results: Results, strips: Strips, train: Resolution) -> Figure:
    """Methods down, resolutions across, all pictures at the same scale: a pixel is as large everywhere."""
    tests = [test for test in results.resolutions[train] if any(key[1] == test for key in strips)]
    methods = [method for method in results.methods if any(key[0] == method for key in strips)]
    across = sum(test[1] for test in tests) * OVERVIEW_PICTURES
    inch = (WIDTH - LABELS - GAP * (len(tests) * (OVERVIEW_PICTURES + 1))) / across  # inches per pixel
    tallest = max(test[0] for test in tests) * inch
    height = 0.35 + len(methods) * (tallest + GAP)
    with paper_style(**{"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, height))
        for row, method in enumerate(methods):
            middle = height - 0.35 - row * (tallest + GAP) - tallest / 2
            mark = " †" if results.is_undertrained(method, train) else ""
            figure.text((LABELS - GAP) / WIDTH, middle / height, method + mark, ha="right", va="center", fontsize=6.5)
            left = LABELS
            for test in tests:
                wide, tall = test[1] * inch, test[0] * inch
                if row == 0:
                    span = OVERVIEW_PICTURES * wide + GAP * (OVERVIEW_PICTURES - 1)
                    words = f"{size_label(test)}\n{scale_label(test, train)}"
                    figure.text((left + span / 2) / WIDTH, 1 - 0.02 / height, words, ha="center", va="top", fontsize=6)
                strip = strips.get((method, test))
                for index in range(OVERVIEW_PICTURES):
                    place = (left / WIDTH, (middle - tall / 2) / height, wide / WIDTH, tall / height)
                    axes = figure.add_axes(place)
                    axes.set_axis_off()
                    if strip is not None and index < len(strip.pictures_NCHW):
                        axes.imshow(picture(strip.pictures_NCHW[index]), interpolation="nearest", aspect="auto")
                    elif index == 0:
                        axes.text(0.5, 0.5, "–", ha="center", va="center", fontsize=7, color="#808080")
                    left += wide + GAP
                left += GAP
    return figure


def contact_sheet(results: Results, strips: Strips, test: Resolution) -> Image.Image | None:
    """One strip per method at one resolution, names on the left; small pictures enlarged by whole factors."""
    rows = [(method, strips[method, test]) for method in results.methods if (method, test) in strips]
    if not rows:
        return None
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
