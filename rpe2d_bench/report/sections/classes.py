"""Accuracy by class, where a classifier looked: which of them a method draws, and which it loses."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.analysis.classified import accuracy_by_class, hardest
from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import Estimate
from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.chosen_images import classifier_of
from rpe2d_bench.report.content import Block, Content
from rpe2d_bench.report.sections.head import shown_at
from rpe2d_bench.report.table import ABSENT, UNDERTRAINED_MARK, Cell, Row, Table
from rpe2d_bench.report.tables import at, method_row
from rpe2d_bench.resolution import Size

SHOWN = 12  # classes in a table at most


def build(results: Results, store: Path) -> Content:
    """A table per test resolution; in the open that of the head's samples."""
    blocks: list[Block] = []
    for train, tests in results.resolutions.items():
        tables = {test: table for test in tests if (table := by_class(results, store, train, test))}
        blocks += [tables.pop(shown)] if (shown := shown_at(results, train)) in tables else []
        blocks += [Content(table.title, (table,)) for table in tables.values()]
    return Content("Accuracy by class", tuple(blocks))


def by_class(results: Results, store: Path, train: Size, test: Size) -> Table | None:
    """Methods x classes in percent; None where nothing is kept of what a classifier saw."""
    found = accuracy_by_class(results, store, train, test)
    labels = hardest(found, SHOWN)
    if not labels:
        return None
    known = {label for by_label in found.values() for label in by_label}
    rows = [method_row(results, method, train, _cells(found[method], labels))
            for method in results.methods if method in found]  # fmt: skip
    rows += [Row(REAL, _cells(found[None], labels), real=True)] if None in found else []
    which = f", the {len(labels)} hardest of {len(known)}" if len(labels) < len(known) else ""
    title = f"Accuracy (%) by class at {size_label(test)} px ({scale_label(test, train)}), trained at"
    note = (
        f"Share of the images of each class in which {classifier_of(results)} sees it, mean over seeds{which}. Few"
        " images of a class make this rough."
    )
    notes = [note, *([f"{UNDERTRAINED_MARK} undertrained."] if any(row.undertrained for row in rows) else [])]
    return Table(f"classes_{at(train)}_test_{size_label(test).replace('×', 'x')}", f"{title} {size_label(train)} px",
                 [f"class {label}" for label in labels], rows, notes=notes)  # fmt: skip


def _cells(by_label: dict[int, Estimate], labels: list[int]) -> list[Cell]:
    return [Cell(f"{by_label[label].mean:.0f}" if label in by_label else ABSENT) for label in labels]
