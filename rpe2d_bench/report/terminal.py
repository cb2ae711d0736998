"""The main metric of a run as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from rpe2d_bench.records import Record
from rpe2d_bench.report.results import Results
from rpe2d_bench.report.tables import TIED_MARK, Cell, Table, value_table
from rpe2d_bench.report.vocabulary import size_label


def terminal_table(records: list[Record], comparisons: list[dict[str, Any]] | None = None) -> Group:
    """One rich table per train resolution, with the notes a reader needs under it."""
    results = Results(records, list(comparisons or []))
    metric = results.main_metric
    if metric is None:
        trained = len(results.find("train", status="ok"))
        return Group(Text(f"{trained} models trained, nothing measured yet"))
    parts: list[RenderableType] = []
    for train in results.resolutions:
        table = value_table(results, metric, train)
        parts += [_rich(table), *(Text(note, style="dim") for note in table.notes)]
        for (model, at), why in results.undertrained.items():
            if at == train:
                parts.append(Text(f"† {model} at {size_label(at)} px: {why}", style="yellow"))
    return Group(*parts)


def _rich(table: Table) -> RichTable:
    out = RichTable(title=escape(table.title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    out.add_column("method", no_wrap=True)
    for column, scale in zip(table.columns, table.subtitles, strict=True):
        out.add_column(f"{column}\n{scale}", justify="right")
    for row in table.rows:
        out.add_row(escape(row.marked), *(_text(cell) for cell in row.cells))
    if table.floor:
        out.add_section()
        out.add_row(table.floor.label, *(_text(cell) for cell in table.floor.cells), style="dim")
    return out


def _text(cell: Cell) -> Text:
    if cell.value is None:
        return Text(cell.state, style="red" if cell.state == "failed" else "yellow")
    return Text(cell.text + (f" {TIED_MARK}" if cell.tied else ""), style="bold green" if cell.best else "")
