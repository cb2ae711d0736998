"""The one type of table: rows of cells, which every format renders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rpe2d_bench.analysis.statistics import Estimate

UNDERTRAINED_MARK = "†"
TIED_MARK = "≈"
LARGE = 400  # cells from which a page shows a table without its intervals and its LaTeX
ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """Words, with the number behind them where there is one."""

    text: str
    state: str = ""  # failed, missing, partial, better, worse, ...: how it is coloured
    value: Estimate | None = None
    best: bool = False
    tied: bool = False  # not separated from the best
    significant: bool = False  # of a difference: separated from zero

    @property
    def words(self) -> str:
        """The text with its mark."""
        return f"{self.text} {TIED_MARK}" if self.tied else self.text

    @property
    def bold(self) -> bool:
        return self.best or self.significant


@dataclass(frozen=True)
class Row:
    label: str
    cells: list[Cell]
    method: str | None = None  # whose colour the row has
    undertrained: bool = False
    reference: bool = False
    real: bool = False  # of real images: below the others

    @property
    def marked(self) -> str:
        return self.label + (" " + UNDERTRAINED_MARK if self.undertrained else "")


@dataclass(frozen=True)
class Table:
    """The first column names the rows; where cells hold numbers, CSV files have those in full."""

    name: str  # for file names and anchors
    title: str
    columns: list[str]
    rows: list[Row]
    corner: str = "method"
    subtitles: list[str] = field(default_factory=list)  # one under each column, or none
    notes: list[str] = field(default_factory=list)
    numbers: bool = True  # set to the right

    @property
    def heads(self) -> list[str]:
        """Column titles on one line: '48 (1.5×)'."""
        if not self.subtitles:
            return self.columns
        return [f"{head} ({sub})" if sub else head for head, sub in zip(self.columns, self.subtitles, strict=True)]

    @property
    def large(self) -> bool:
        """Whether a page shows the cells alone; the CSV has the rest."""
        return len(self.rows) * len(self.columns) > LARGE

    @property
    def words(self) -> list[tuple[str, ...]]:
        """Labels and cells as text."""
        return [(row.marked, *(cell.words for cell in row.cells)) for row in self.rows]


def plain(
    name: str,
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: bool = False,
    note: str = "",
    methods: Iterable[str] = (),
) -> Table:
    """A table of words; a row whose first cell is one of `methods` has its colour."""
    known = set(methods)
    lines = [Row(first, [Cell(text) for text in rest], first if first in known else None) for first, *rest in rows]
    return Table(name, title, list(head[1:]), lines, head[0], notes=[note] if note else [], numbers=numbers)


def value_cell(value: Estimate, state: str, asked: int, *, best: bool = False, tied: bool = False) -> Cell:
    """'8.61 ± 0.20', with n in brackets where some of the `asked` seeds are absent."""
    places = decimals(value.mean, value.spread)
    words = number(value.mean, places)
    if value.spread is not None:
        words += f" ± {number(value.spread, places)}"
    if state == "partial":
        words += f" (n = {value.n} of {asked})"
    return Cell(words, state, value, best, tied)


def difference_cell(value: Estimate, state: str, *, significant: bool) -> Cell:
    """'-3.1 [-4.0, -2.2]': a mean and its interval."""
    places = decimals(value.mean, value.half_width)
    words = number(value.mean, places)
    if value.low is not None and value.high is not None:
        words += f" [{number(value.low, places)}, {number(value.high, places)}]"
    return Cell(words, state, value, significant=significant)


def decimals(value: float, spread: float | None = None) -> int:
    """Decimals that show three digits of the value, and one of its spread where that needs more; at most three."""
    places = [2 - math.floor(math.log10(abs(value)))] if value and math.isfinite(value) else [3]
    if spread and math.isfinite(spread):
        places.append(-math.floor(math.log10(spread)))
    return min(3, max(0, *places))


def number(value: float, places: int | None = None) -> str:
    """With a true minus sign; about three significant digits unless the decimals are given."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "NaN"
    text = f"{value:.{decimals(value) if places is None else places}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")


def count(value: float | None) -> str:
    """'18.3 T': three digits and a letter."""
    if value is None:
        return ABSENT
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:g}"


def duration(seconds: float) -> str:
    """'45 s', '12.5 min' or '3.2 h'."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
