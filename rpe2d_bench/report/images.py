"""Samples: which are shown, and the grids they are shown in; the same class and the same noise for every method.

Longer than other files, because choosing, the block of a page and its one drawing function share every type.
"""

from __future__ import annotations

import heapq
import io
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.figures import files_of, paper_style
from rpe2d_bench.report.templating import data_uri, embedded
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record, Resolution

# Legend: N images, C channels, H height, W width.
REAL = "real images"
IMAGES = 8  # in a strip
MOST = 120  # strips in a page; of a run that has more a part is shown: so many methods, sizes and images of a strip
FEW = (8, 5, 4)
FIGURE_IMAGES = 2  # per method and resolution, in the figure for papers
LOSSLESS_UP_TO = 96  # pixels; larger images are embedded as JPEG
WIDTH = 6.75  # inches: the text width of a page
HEAD = 0.32  # inches for the resolutions
GAP = 0.05
FONT = 6.5


@dataclass(frozen=True)
class Strip:
    """A few images of one method at one resolution."""

    labels: list[int]
    images_NCHW: np.ndarray  # uint8

    @property
    def image(self) -> Image.Image:
        """The images in a row, one pixel apart."""
        n, _, height, width = self.images_NCHW.shape
        canvas = Image.new("RGB", (n * (width + 1) - 1, height), (128, 128, 128))
        for index, image_CHW in enumerate(self.images_NCHW):
            canvas.paste(sample_image(image_CHW), (index * (width + 1), 0))
        return canvas


@dataclass(frozen=True)
class StripRow:
    """The strips of one method, by test resolution; `of`: which run, where two are shown."""

    name: str
    strips: dict[Resolution, Strip]
    method: str | None = None  # whose colour the row has
    of: str = ""

    def cell(self, test: Resolution) -> dict[str, object] | None:
        """What the page's template shows at one resolution."""
        strip = self.strips.get(test)
        if strip is None:
            return None
        # As wide as images of this size are: old records kept what is enlarged later at the size it was made in.
        of = f" of {self.of}" if self.of else ""
        return {
            "uri": image_uri(strip.image),
            "width": len(strip.labels) * (test[1] + 1) - 1,
            "alt": f"{self.name}{of} at {size_label(test)} px, classes {strip.labels}",
        }


@dataclass(frozen=True)
class Strips:
    """Rows of images by test resolution, as a page shows them and as files."""

    name: str  # unique in the report; also the file name
    train: Resolution
    tests: list[Resolution]
    rows: list[StripRow]
    files: dict[str, bytes] = field(default_factory=dict)  # to download: format -> the figure for papers
    sheets: dict[str, bytes] = field(default_factory=dict)  # beside the page: file name -> PNG of one resolution
    zoom: float = 0.0  # of the page at first; 0: by the largest size

    @property
    def image(self) -> str | None:
        """The file that stands for the strips in Markdown."""
        return f"{self.name}.png" if "png" in self.files else None

    @property
    def downloads(self) -> dict[str, str]:
        return embedded(self.files)

    @property
    def alternative(self) -> str:
        return f"Samples of {', '.join(row.name for row in self.rows)}"

    @cached_property
    def labels(self) -> list[int]:
        return [strip for row in self.rows for strip in row.strips.values()][-1].labels

    @property
    def sizes(self) -> list[dict[str, object]]:
        return [{"label": size_label(t), "scale": scale_label(t, self.train), "height": t[0], "width": t[1]}
                for t in self.tests]  # fmt: skip

    @property
    def start(self) -> int:
        """The first size above the train resolution."""
        return next((i for i, test in enumerate(self.tests) if max(test) > max(self.train)), 0)

    @property
    def first_zoom(self) -> float:
        largest = max(max(test) for test in self.tests)
        return self.zoom or (2 if largest <= 64 else 1 if largest <= 160 else 0.5)

    @property
    def cells(self) -> list[tuple[StripRow, list[dict[str, object] | None]]]:
        return [(row, [row.cell(test) for test in self.tests]) for row in self.rows]


@dataclass(frozen=True)
class Shown:
    """What of a train resolution a page has room for."""

    methods: list[str]
    tests: list[Resolution]
    images: int = IMAGES


def shown(results: Results, train: Resolution) -> Shown:
    """Everything while that is `MOST` strips; else the first methods of the file, and sizes from first to last.

    The reference method and the train resolution are among them.
    """
    methods, tests = list(results.methods), results.resolutions[train]
    if len(methods) * len(tests) <= MOST:
        return Shown(methods, tests)
    many, sizes, images = FEW
    first = [name for name in methods if name != results.reference][: many - 1]
    step = max(1.0, (len(tests) - 1) / (sizes - 1))
    spread = {tests[min(round(number * step), len(tests) - 1)] for number in range(sizes)}
    kept = {*first, results.reference} if results.reference else set(methods[:many])
    return Shown([m for m in methods if m in kept], [t for t in tests if t in spread or t == train], images)


def rows_of(
    results: Results,
    store: Path,
    train: Resolution,
    tests: list[Resolution] | None = None,
    methods: list[str] | None = None,
    images: int = IMAGES,
) -> list[StripRow]:
    """Real images, then the methods, in the experiment's order; empty where no sample of a method can be read."""
    tests, methods = tests or results.resolutions[train], methods or list(results.methods)
    found = strips(results, store, train, tests, methods, images)
    real = real_strips(results, store, train, tests, images) if found else {}
    rows = [StripRow(REAL, real)] if real else []
    for method in methods:
        if own := {test: strip for (name, test), strip in found.items() if name == method}:
            rows.append(StripRow(method, own, method))
    return rows


def block(results: Results, train: Resolution, name: str, rows: list[StripRow]) -> Strips:
    """Rows with the figure for papers and a contact sheet per resolution."""
    tests = [test for test in results.resolutions[train] if any(row.method and test in row.strips for row in rows)]
    marked = [
        StripRow(row.name + " †", row.strips) if row.method and results.is_undertrained(row.method, train) else row
        for row in rows
    ]
    sheets = {}
    for test in tests:
        inch = max(1, LOSSLESS_UP_TO // max(test)) / 150  # an image's pixel is a whole number of the file's
        file = f"{name}_test_{size_label(test).replace('×', 'x')}.png"
        sheets[file] = files_of(image_grid([r for r in rows if test in r.strips], train, [test], IMAGES, inch),
                                ("png",), dpi=150)["png"]  # fmt: skip
    return Strips(name, train, tests, rows, files_of(image_grid(marked, train, tests, FIGURE_IMAGES)), sheets)


def image_grid(
    rows: list[StripRow], train: Resolution, tests: list[Resolution], count: int, inch: float | None = None
) -> Figure:
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
                    axes.imshow(sample_image(image_CHW), interpolation="nearest", extent=place)
                left += span + 2 * GAP
        axes.set(xlim=(0, width), ylim=(0, height))
    return figure


def sample_image(image_CHW: np.ndarray) -> Image.Image:
    """uint8 [1 or 3, H, W] -> an RGB image."""
    if image_CHW.shape[0] == 1:
        return Image.fromarray(image_CHW[0]).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(image_CHW.transpose(1, 2, 0)))


def image_uri(image: Image.Image) -> str:
    """The image inside a page: PNG while small, JPEG above."""
    out = io.BytesIO()
    kind = "png" if image.height <= LOSSLESS_UP_TO else "jpeg"
    image.save(out, kind, **({"optimize": True} if kind == "png" else {"quality": 90}))
    return data_uri(out.getvalue(), f"image/{kind}")


def choose(labels_N: np.ndarray, count: int = IMAGES) -> list[int]:
    """Indices of the first image of each class, classes in order, then second images: never the best ones."""
    seen: Counter[int] = Counter()
    order = []
    for index, label in enumerate(labels_N.tolist()):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in heapq.nsmallest(count, order)]


def read_samples(
    record: Record, store: Path, chosen: list[int] | None = None, count: int = IMAGES
) -> tuple[Strip, list[int]] | None:
    """Images of a measured cell and their indices; None where they cannot be read.

    Without `chosen`, the `count` that `choose` takes.
    """
    path = record.artifacts.samples
    if path is None:
        return None
    try:
        labels_N = images_file.labels(store / path)
        chosen = [index for index in chosen or choose(labels_N, count) if index < len(labels_N)]
        images_NCHW = images_file.first(store / path, max(chosen, default=-1) + 1)
        return Strip(labels_N[chosen].tolist(), images_NCHW[chosen]), chosen
    except images_file.UNREADABLE:
        return None


def strips(
    results: Results,
    store: Path,
    train: Resolution,
    tests: list[Resolution],
    methods: list[str] | None = None,
    images: int = IMAGES,
) -> dict[tuple[str, Resolution], Strip]:
    """(method, test resolution) -> strip, all of the first seed that has samples, the same indices everywhere."""
    found: dict[tuple[str, Resolution], Strip] = {}
    chosen: list[int] | None = None
    for seed in results.seeds:
        for test in tests:
            for method in methods or results.methods:
                cell = [r for r in results.cell(method, train, test) if r.seed == seed and r.status == "ok"]
                samples = read_samples(cell[0], store, chosen, images) if cell else None
                if samples is not None:
                    found[method, test], indices = samples
                    chosen = chosen or indices
        if found:
            break
    return found


def real_strips(
    results: Results, store: Path, train: Resolution, tests: list[Resolution], images: int = IMAGES
) -> dict[Resolution, Strip]:
    """Test resolution -> real images, the first of each class; what a perfect method's rows would look like."""
    found: dict[Resolution, Strip] = {}
    for test in tests:
        samples = (read_samples(record, store, count=images) for record in results.real.found(train, test))
        if (strip := next((s for s in samples if s is not None), None)) is not None:
            found[test] = strip[0]
    return found
