"""The head of a report and its main table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text as RichText

from rpe2d_bench.analysis.results import Results, results_of
from rpe2d_bench.report.content import Text
from rpe2d_bench.report.sections.head import head_of
from rpe2d_bench.report.table import TIED_MARK, Row, Table
from rpe2d_bench.report.tables import value_table
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record

BETWEEN = 2  # spaces between two columns
BEST_MARK = "*"  # of the best of a column, where bold cannot be seen
STYLES = {"lead": "bold", "caution": "yellow", "question": "dim"}
CELL_STYLES = {"failed": "red", "missing": "yellow", "better": "green", "worse": "red", "quiet": "dim"}


def terminal_table(records: list[Record] | Results, comparisons: list[dict[str, Any]] | None = None) -> Group:
    """The head, then one table of the main metric per train resolution with the notes that a reader needs."""
    results = results_of(records, comparisons)
    parts: list[RenderableType] = []
    for block in head_of(results).words.blocks:
        if isinstance(block, Table):
            parts.append(Blocks(block))
        elif isinstance(block, Text):
            points = [block.words] if isinstance(block.words, str) else block.words
            parts += [RichText(point, style=STYLES.get(block.kind, "")) for point in points]
    metric = results.main_metric
    for train in results.resolutions if metric else ():
        assert metric is not None
        table, same = value_table(results, metric, train), _same(results, train)
        notes = [*table.notes, *(["= a method: the same encoding at this size, so the same numbers."] if same else [])]
        parts += [Blocks(table, same), *map(Note, notes)]
    return Group(*parts)


def _same(results: Results, train: Size) -> dict[tuple[str, int], str]:
    """By method and column: an earlier method with the same numbers."""
    same, methods = {}, list(results.methods)
    for column, test in enumerate(results.resolutions[train]):
        for number, method in enumerate(methods):
            before = (name for name in methods[:number] if results.coincide(method, name, train, test))
            if first := next(before, None):
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
        yield RichText(text, style="dim")


@dataclass(frozen=True)
class Blocks:
    """A table that is cut into blocks of columns where it is wider than the terminal; a method stays on one line."""

    table: Table
    same: dict[tuple[str, int], str] = field(default_factory=dict)  # what `_same` found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield RichText(self.table.title, style="bold")
        words = [[self._words(row, column, console) for column in range(len(row.cells))] for row in self.table.rows]
        for columns in self._cut(options.max_width, words):
            yield self._block(columns, words)

    def _cut(self, width: int, words: list[list[RichText]]) -> list[range]:
        """Columns of each block: as many as fit beside the labels."""
        room = width - max(len(row.marked) for row in self.table.rows)
        lines = [[text.plain for text in row] for row in words] + [self.table.columns, self.table.subtitles]
        widths = [max(map(len, column)) + BETWEEN for column in zip(*filter(None, lines), strict=True)]
        blocks, left = [range(0, 0)], room
        for column, wide in enumerate(widths):
            if wide > left and blocks[-1]:
                blocks.append(range(column, column))
                left = room
            blocks[-1] = range(blocks[-1].start, column + 1)
            left -= wide
        return blocks

    def _block(self, columns: range, words: list[list[RichText]]) -> RichTable:
        out = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
        out.add_column(self.table.corner, no_wrap=True)
        for column in columns:
            subtitle = f"\n{self.table.subtitles[column]}" if self.table.subtitles else ""
            out.add_column(escape(self.table.columns[column] + subtitle), justify="right", no_wrap=True)
        real = False
        for row, texts in zip(self.table.rows, words, strict=True):
            if row.real and not real:
                out.add_section()
            real = row.real
            out.add_row(escape(row.marked), *(texts[column] for column in columns), style="dim" if real else "")
        out.add_row()
        return out

    def _words(self, row: Row, column: int, console: Console) -> RichText:
        cell = row.cells[column]
        unseen = cell.best and not _bold_shows(console)
        mark = f" {TIED_MARK}" if cell.tied else f" {BEST_MARK}" if unseen else ""
        first = self.same.get((row.method or "", column))
        words = cell.text if first is None else f"= {first}"
        return RichText(words + mark, style="bold green" if cell.best else CELL_STYLES.get(cell.state, ""))
