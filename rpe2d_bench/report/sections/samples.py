"""Samples of every method at every size: the same class and the same noise, not chosen."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.chosen_images import block, rows_of
from rpe2d_bench.report.content import Block, Content, Text
from rpe2d_bench.report.tables import at

ABSENT = "No sample images were found below the store; the numbers do not depend on them."


def build(results: Results, store: Path) -> Content:
    """Strips of each train resolution that has any."""
    blocks: list[Block] = []
    for train in results.resolutions:
        if rows := rows_of(results, store, train, seeds=len(results.seeds)):
            shown = block(results, train, f"samples_{at(train)}", rows)
            classes = ", ".join(map(str, shown.labels))
            blocks += [
                Text(f"Trained at {size_label(train)} px. In each column every method starts from the same noise and is"
                     f" asked for the same class (classes {classes}). One pixel is as large at every size. The images"
                     f" are the first of each class, not chosen.{_seeds(results, shown.seeds)}"),
                shown,
            ]  # fmt: skip
    return Content("Samples", tuple(blocks) or (Text(ABSENT, "missing"),))


def _seeds(results: Results, shown: list[int]) -> str:
    """Which can be picked, where that is not all."""
    if not shown or shown == results.seeds:
        return ""
    return f" Seeds {', '.join(map(str, shown))} of {len(results.seeds)} are here."
