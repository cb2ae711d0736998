"""Which samples a report shows: the same class and the same noise for every method, never the best ones."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rpe2d_bench.analysis.classified import classified
from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.figures import files_of
from rpe2d_bench.report.image_grid import image_grid
from rpe2d_bench.report.images import LOSSLESS_UP_TO, Strip, StripRow, Strips
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record

IMAGES = 8  # in a strip
PIXELS = 2**22  # times channels: about 3 MB of images in a page; a first seed may be more
MOST = 120  # strips of a seed; of a run that has more a part is shown: so many methods, sizes and images of a strip
FEW = (8, 5, 4)
FIGURE_IMAGES = 2  # per method and resolution, in the figure for papers


@dataclass(frozen=True)
class Shown:
    """What of a train resolution a page has room for."""

    methods: list[str]
    tests: list[Size]
    images: int = IMAGES


def shown(results: Results, train: Size) -> Shown:
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
    train: Size,
    tests: list[Size] | None = None,
    *,
    seeds: int = 1,
    part: Shown | None = None,
) -> list[StripRow]:
    """Real images, then the methods, in the experiment's order; empty where no sample of a method can be read.

    Of the first seed that has samples, and of as many further ones as `seeds` allows and a page can carry.
    part: what of it is asked for, instead of sizes alone.
    """
    part = part or Shown(list(results.methods), tests or results.resolutions[train])
    found = strips(results, store, train, part.tests, seeds, part)
    real = real_strips(results, store, train, part.tests, part.images) if found else {}
    rows = [StripRow(REAL, real)] if real else []
    for method in part.methods:
        own = [{test: strip for (name, test), strip in of_seed.items() if name == method} for of_seed in found.values()]
        if any(own):
            rows.append(StripRow(method, own[0], method, more=tuple(filter(None, own[1:]))))
    return rows


def block(results: Results, train: Size, name: str, rows: list[StripRow]) -> Strips:
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
    except images_file.UNREADABLE:
        return None
    looked = classified(record, store)
    seen = None if looked is None else looked.seen_N[chosen].tolist()
    return Strip(labels_N[chosen].tolist(), images_NCHW[chosen], seen, record.seed if record.method else None), chosen


def strips(
    results: Results,
    store: Path,
    train: Size,
    tests: list[Size],
    seeds: int = 1,
    part: Shown | None = None,
) -> dict[int, dict[tuple[str, Size], Strip]]:
    """Seed -> (method, test resolution) -> strip, of seeds that have samples, the same indices throughout a seed.

    At most `seeds` of them, and only as many as keep a page's images below PIXELS.
    """
    part = part or Shown(list(results.methods), tests)
    found: dict[int, dict[tuple[str, Size], Strip]] = {}
    pixels = 0
    for seed in results.seeds:
        of_seed, chosen = {}, None
        for test in tests:
            for method in part.methods:
                cell = (r for r in results.cell(method, train, test) if r.seed == seed and r.status == "ok")
                samples = next(
                    (s for r in cell if (s := read_samples(r, store, chosen, part.images)) is not None), None
                )
                if samples is not None:
                    of_seed[method, test], indices = samples
                    chosen = chosen or indices
        if of_seed:
            found[seed] = of_seed
            pixels = pixels or sum(strip.images_NCHW.size for strip in of_seed.values())
        if found and (len(found) >= seeds or pixels * (len(found) + 1) > PIXELS):
            break
    return found


def real_strips(
    results: Results, store: Path, train: Size, tests: list[Size], images: int = IMAGES
) -> dict[Size, Strip]:
    """Test resolution -> real images, the first of each class; what a perfect method's rows would look like."""
    found: dict[Size, Strip] = {}
    for test in tests:
        samples = (read_samples(record, store, count=images) for record in results.real.found(train, test))
        if (strip := next((s for s in samples if s is not None), None)) is not None:
            found[test] = strip[0]
    return found
