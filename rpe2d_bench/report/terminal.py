"""The main metric of a run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from rpe2d_bench.records import Record
from rpe2d_bench.report.results import Results
from rpe2d_bench.report.tables import TIED_MARK, Cell, Row, Table, value_table
from rpe2d_bench.report.vocabulary import size_label

BETWEEN = 2  # spaces between two columns


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
        parts += [Blocks(table), *(Text(note, style="dim") for note in table.notes)]
        for (model, at), why in results.undertrained.items():
            if at == train:
                parts.append(Text(f"† {model} at {size_label(at)} px: {why}", style="yellow"))
    return Group(*parts)


@dataclass(frozen=True)
class Blocks:
    """A table that is cut into blocks of columns where it is wider than the terminal; a method stays on one line."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.table.title, style="bold")
        for columns in self._cut(options.max_width):
            yield self._block(columns)

    def _cut(self, width: int) -> list[range]:
        """Columns of each block: as few blocks as fit, of about the same size."""
        rows = [*self.table.rows, *self._real]
        label = max(len(row.marked) for row in rows)
        words = [_words(cell) for row in rows for cell in row.cells]
        widest = max(map(len, [*words, *self.table.columns, *self.table.subtitles]))
        count = len(self.table.columns)
        fit = min(count, max(1, (width - label) // (widest + BETWEEN)))
        blocks = -(-count // fit)
        size = -(-count // blocks)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    @property
    def _real(self) -> list[Row]:
        return [row for row in (self.table.floor, self.table.through) if row]

    def _block(self, columns: range) -> RichTable:
        out = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
        out.add_column("method", no_wrap=True)
        for column in columns:
            heading = f"{self.table.columns[column]}\n{self.table.subtitles[column]}"
            out.add_column(heading, justify="right", no_wrap=True)
        for row in self.table.rows:
            out.add_row(escape(row.marked), *(_text(row.cells[column]) for column in columns))
        if self._real:
            out.add_section()
        for real in self._real:
            out.add_row(real.label, *(_text(real.cells[column]) for column in columns), style="dim")
        out.add_row()
        return out


def _words(cell: Cell) -> str:
    if cell.value is None:
        return cell.state
    return cell.text + (f" {TIED_MARK}" if cell.tied else "")


def _text(cell: Cell) -> Text:
    if cell.value is None:
        return Text(_words(cell), style="red" if cell.state == "failed" else "yellow")
    return Text(_words(cell), style="bold green" if cell.best else "")
