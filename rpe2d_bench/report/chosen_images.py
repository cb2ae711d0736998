"""Which samples a report shows: the same class and the same noise for every method, never the best ones."""

from __future__ import annotations

import heapq
from collections import Counter
from pathlib import Path

import numpy as np

from rpe2d_bench.analysis.classified import classified
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.figures import files_of
from rpe2d_bench.report.image_grid import image_grid
from rpe2d_bench.report.images import LOSSLESS_UP_TO, Strip, StripRow, Strips
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record, Resolution

REAL = "real images"
IMAGES = 8  # in a strip
PIXELS = 2**22  # times channels: about 3 MB of images in a page; a first seed may be more
FIGURE_IMAGES = 2  # per method and resolution, in the figure for papers


def rows_of(
    results: Results, store: Path, train: Resolution, tests: list[Resolution] | None = None, *, seeds: int = 1
) -> list[StripRow]:
    """Real images, then the methods, in the experiment's order; empty where no sample of a method can be read.

    Of the first seed that has samples, and of as many further ones as `seeds` allows and a page can carry.
    """
    tests = tests or results.resolutions[train]
    found = strips(results, store, train, tests, seeds)
    real = real_strips(results, store, train, tests) if found else {}
    rows = [StripRow(REAL, real)] if real else []
    for method in results.methods:
        own = [{test: strip for (name, test), strip in of_seed.items() if name == method} for of_seed in found.values()]
        if any(own):
            rows.append(StripRow(method, own[0], method, more=tuple(filter(None, own[1:]))))
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
    figure = files_of(image_grid(marked, train, tests, FIGURE_IMAGES))
    return Strips(name, train, tests, rows, figure, sheets, classifier=classifier_of(results))


def classifier_of(results: Results) -> str:
    """Its name, for what it sees in images."""
    return results.experiment.evaluate.judge or "a classifier"


def choose(labels_N: np.ndarray, count: int = IMAGES) -> list[int]:
    """Indices of the first image of each class, classes in order, then second images: never the best ones."""
    seen: Counter[int] = Counter()
    order = []
    for index, label in enumerate(labels_N.tolist()):
        order.append((seen[label], label, index))
        seen[label] += 1
    return [index for *_, index in heapq.nsmallest(count, order)]


def read_samples(record: Record, store: Path, chosen: list[int] | None = None) -> tuple[Strip, list[int]] | None:
    """Images of a measured cell and their indices; None where they cannot be read.

    Without `chosen`, those that `choose` takes.
    """
    path = record.artifacts.samples
    if path is None:
        return None
    try:
        labels_N = images_file.labels(store / path)
        chosen = [index for index in chosen or choose(labels_N) if index < len(labels_N)]
        images_NCHW = images_file.first(store / path, max(chosen, default=-1) + 1)
    except images_file.UNREADABLE:
        return None
    looked = classified(record, store)
    seen = None if looked is None else looked.seen_N[chosen].tolist()
    return Strip(labels_N[chosen].tolist(), images_NCHW[chosen], seen, record.seed if record.method else None), chosen


def strips(
    results: Results, store: Path, train: Resolution, tests: list[Resolution], seeds: int = 1
) -> dict[int, dict[tuple[str, Resolution], Strip]]:
    """Seed -> (method, test resolution) -> strip, of seeds that have samples, the same indices throughout a seed.

    At most `seeds` of them, and only as many as keep a page's images below PIXELS.
    """
    found: dict[int, dict[tuple[str, Resolution], Strip]] = {}
    pixels = 0
    for seed in results.seeds:
        of_seed, chosen = {}, None
        for test in tests:
            for method in results.methods:
                cell = (r for r in results.cell(method, train, test) if r.seed == seed and r.status == "ok")
                samples = next((s for r in cell if (s := read_samples(r, store, chosen)) is not None), None)
                if samples is not None:
                    of_seed[method, test], indices = samples
                    chosen = chosen or indices
        if of_seed:
            found[seed] = of_seed
            pixels = pixels or sum(strip.images_NCHW.size for strip in of_seed.values())
        if found and (len(found) >= seeds or pixels * (len(found) + 1) > PIXELS):
            break
    return found


def real_strips(results: Results, store: Path, train: Resolution, tests: list[Resolution]) -> dict[Resolution, Strip]:
    """Test resolution -> real images, the first of each class; what a perfect method's rows would look like."""
    found: dict[Resolution, Strip] = {}
    for test in tests:
        samples = (read_samples(record, store) for record in results.real.found(train, test))
        if (strip := next((s for s in samples if s is not None), None)) is not None:
            found[test] = strip[0]
    return found
