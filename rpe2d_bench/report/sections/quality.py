"""Quality control: what was looked at, and what limits the numbers."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.analysis.quality import checks, findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import Cell, Row, Table, plain

SOUND = (
    "Every cell that was asked for is there; nothing failed, nothing diverged, no model is undertrained, and the code"
    " was committed."
)


def build(results: Results, store: Path) -> Content:
    """Checks, also those that found nothing, then findings."""
    rows = [Row(f.kind, [Cell(f.what), Cell(f.why)]) for f in findings(results)]
    columns = ["where", "why it matters"]
    return Content("Quality control", (
        plain("checks", "What was checked", ("check", "outcome"), checks(results)),
        Table("findings", "What limits the numbers", columns, rows, "finding", numbers=False) if rows else Text(SOUND),
    ))  # fmt: skip
