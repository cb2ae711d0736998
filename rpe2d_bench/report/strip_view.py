"""Sample strips as the page shows them: rows of images by test resolution, with a slider over either."""

from __future__ import annotations

from typing import Any

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.palette import styles_of
from rpe2d_bench.report.strips import REAL, Strip, data_uri
from rpe2d_bench.storage.records import Resolution

Strips = dict[tuple[str, Resolution], Strip]
Row = tuple[str, str, int | None, dict[Resolution, Strip]]  # name, what of it, its series, test resolution -> strip


def of_run(results: Results, train: Resolution, strips: Strips, real: dict[Resolution, Strip]) -> dict[str, Any] | None:
    """Real images, then a row per method."""
    tests = [test for test in results.resolutions[train] if any(key[1] == test for key in strips)]
    rows: list[Row] = [(REAL, "", None, real)] if real else []
    rows += [(method, "", style.index, _row(strips, method)) for method, style in styles_of(results).items()]
    return view(train, tests, rows)


def of_two(
    names: tuple[str, str],
    look: dict[str, int],
    train: Resolution,
    tests: list[Resolution],
    both: tuple[Strips, Strips],
) -> dict[str, Any] | None:
    """Two rows per method, one below the other: the same classes and, where the seeds agree, the same noise."""
    shown = [test for test in tests if any(key[1] == test for strips in both for key in strips)]
    rows: list[Row] = [
        (method, name, index, _row(strips, method))
        for method, index in look.items()
        for name, strips in zip(names, both, strict=True)
    ]
    return view(train, shown, rows)


def view(train: Resolution, tests: list[Resolution], rows: list[Row]) -> dict[str, Any] | None:
    """What the template is given; None where there is no image."""
    found = [strip for *_, strips in rows for test, strip in strips.items() if test in tests]
    if not found:
        return None
    largest = max(max(test) for test in tests)
    shown = []
    for name, of, series, strips in rows:
        cells = []
        for test in tests:
            strip = strips.get(test)
            label = (
                f"{name}{f' of {of}' if of else ''} at {size_label(test)} px, classes {strip.labels}" if strip else ""
            )
            # As wide as images of this size are: old records kept what is enlarged later at the size it was made in.
            wide = len(strip.labels) * (test[1] + 1) - 1 if strip else 0
            cells.append({"uri": data_uri(strip.image), "width": wide, "alt": label} if strip else None)
        shown.append({"name": name, "of": of, "series": series, "cells": cells})
    return {
        "train": size_label(train),
        "sizes": [{"label": size_label(t), "scale": scale_label(t, train), "height": t[0], "width": t[1]}
                  for t in tests],
        "start": next((i for i, t in enumerate(tests) if max(t) > max(train)), 0),
        "rows": shown,
        "labels": found[-1].labels,
        "zoom": 2 if largest <= 64 else 1 if largest <= 160 else 0.5,
    }  # fmt: skip


def _row(strips: Strips, method: str) -> dict[Resolution, Strip]:
    return {test: strip for (name, test), strip in strips.items() if name == method}
