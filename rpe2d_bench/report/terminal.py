"""The main metric of a run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.tables import TIED_MARK, Row, Table, value_table
from rpe2d_bench.storage.records import Record, Resolution

BETWEEN = 2  # spaces between two columns
BEST_MARK = "*"  # of the best of a column, where bold cannot be seen


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
        same = coinciding(results, train)
        notes = (
            [*table.notes, "= a method: the same encoding at this size, so the same numbers."] if same else table.notes
        )
        parts += [Blocks(table, same), *map(Note, notes)]
        for why in dict.fromkeys(why for (at, _), why in results.refusals.items() if at == train):
            parts.append(Text(f"no winner is named: {why}", style="yellow"))
        for (model, at), why in results.undertrained.items():
            if at == train:
                parts.append(Text(f"† {model} at {size_label(at)} px: {why}", style="yellow"))
    return Group(*parts)


def coinciding(results: Results, train: Resolution) -> dict[tuple[str, int], str]:
    """By method and column: an earlier method with the same numbers, because both realise the same encoding there."""
    same: dict[tuple[str, int], str] = {}
    methods = list(results.methods)
    for column, test in enumerate(results.resolutions[train]):
        for number, method in enumerate(methods):
            cells = [r for r in results.cell(method, train, test) if r.status == "ok"]
            shared = [set(record.coincides_with) for record in cells]
            others = set.intersection(*shared) if shared else set()
            first = next((name for name in methods[:number] if name in others), None)
            if first is not None:
                same[method, column] = first
    return same


def _bold_shows(console: Console) -> bool:
    """Whether what is bold differs from what is not: neither in a file nor on a terminal without styles."""
    return console.color_system is not None


@dataclass(frozen=True)
class Note:
    """A note under a table, whose legend names the mark that is really there."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        text = self.text if _bold_shows(console) else self.text.replace("Bold:", f"{BEST_MARK}:")
        yield Text(text, style="dim")


@dataclass(frozen=True)
class Blocks:
    """A table that is cut into blocks of columns where it is wider than the terminal; a method stays on one line."""

    table: Table
    same: dict[tuple[str, int], str] = field(default_factory=dict)  # what `coinciding` found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.table.title, style="bold")
        words = [[self._words(row, column, console) for column in range(len(row.cells))] for row in self._rows]
        for columns in self._cut(options.max_width, words):
            yield self._block(columns, words)

    def _cut(self, width: int, words: list[list[Text]]) -> list[range]:
        """Columns of each block: as few blocks as fit, of about the same size."""
        label = max(len(row.marked) for row in self._rows)
        sentence = [text.plain for row in words for text in row]
        widest = max(map(len, [*sentence, *self.table.columns, *self.table.subtitles]))
        count = len(self.table.columns)
        fit = min(count, max(1, (width - label) // (widest + BETWEEN)))
        blocks = -(-count // fit)
        size = -(-count // blocks)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    @property
    def _rows(self) -> list[Row]:
        return [*self.table.rows, *self._real]

    @property
    def _real(self) -> list[Row]:
        return [*([self.table.floor] if self.table.floor else []), *self.table.beside]

    def _block(self, columns: range, words: list[list[Text]]) -> RichTable:
        out = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
        out.add_column("method", no_wrap=True)
        for column in columns:
            heading = f"{self.table.columns[column]}\n{self.table.subtitles[column]}"
            out.add_column(heading, justify="right", no_wrap=True)
        for row, sentence in zip(self._rows, words, strict=True):
            if self._real and row is self._real[0]:
                out.add_section()
            style = "dim" if row.method is None else ""
            out.add_row(escape(row.marked), *(sentence[column] for column in columns), style=style)
        out.add_row()
        return out

    def _words(self, row: Row, column: int, console: Console) -> Text:
        cell = row.cells[column]
        if cell.value is None:
            return Text(cell.state, style="red" if cell.state == "failed" else "yellow")
        unseen = cell.best and not _bold_shows(console)
        mark = f" {TIED_MARK}" if cell.tied else f" {BEST_MARK}" if unseen else ""
        first = self.same.get((row.method or "", column))
        sentence = cell.text if first is None else f"= {first}"
        return Text(sentence + mark, style="bold green" if cell.best else "")
