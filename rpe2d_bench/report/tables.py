"""Tables of a run: methods x test resolutions, as plain values that every format renders."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rpe2d_bench.analysis.results import RULERS, Results
from rpe2d_bench.analysis.statistics import BASES, Estimate
from rpe2d_bench.analysis.vocabulary import Metric, blind_spot, scale_label, size_label
from rpe2d_bench.storage.records import Resolution

UNDERTRAINED_MARK = "†"
TIED_MARK = "≈"


@dataclass(frozen=True)
class Cell:
    """One number of a table, or the reason why there is none."""

    state: str  # ok, partial, failed, missing
    value: Estimate | None = None
    best: bool = False
    tied: bool = False  # not separated from the best: the paired interval contains zero
    significant: bool = False  # in tables of differences: the interval lies on one side of zero
    asked: int = 0  # seeds
    interval: bool = False  # shown as mean and interval instead of mean and standard deviation

    @property
    def text(self) -> str:
        """'8.61 ± 0.20'; n in brackets when seeds are absent; the state when there is no number."""
        if self.value is None:
            return self.state
        if self.interval:
            places = decimals(self.value.mean, self.value.half_width)
            return f"{number(self.value.mean, places)}{_between(self.value, places)}"
        places = decimals(self.value.mean, self.value.spread)
        words = number(self.value.mean, places)
        if self.value.spread is not None:
            words += f" ± {number(self.value.spread, places)}"
        if self.state == "partial":
            words += f" (n = {self.value.n} of {self.asked})"
        return words


@dataclass(frozen=True)
class Row:
    label: str
    method: str | None  # None for the floor
    cells: list[Cell]
    undertrained: bool = False
    reference: bool = False

    @property
    def marked(self) -> str:
        return self.label + (" " + UNDERTRAINED_MARK if self.undertrained else "")


@dataclass(frozen=True)
class Table:
    """Rows are methods, columns test resolutions."""

    name: str  # for file names and anchors
    title: str
    columns: list[str]
    subtitles: list[str]  # the scale under each column
    rows: list[Row]
    floor: Row | None = None
    notes: list[str] = field(default_factory=list)
    beside: list[Row] = field(default_factory=list)  # real images otherwise: rulers, and after the autoencoder


def _between(value: Estimate, places: int) -> str:
    if value.low is None or value.high is None:
        return ""
    return f" [{number(value.low, places)}, {number(value.high, places)}]"


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


THROUGH = "real images through the autoencoder"


def value_table(results: Results, metric: Metric, train: Resolution) -> Table:
    """Mean ± standard deviation over seeds, with the floor."""
    tests = results.resolutions[train]
    best = {test: results.best(train, test, metric) for test in tests}
    rows = [_row(results, method, train, [_cell(results, method, train, t, metric, best[t]) for t in tests])
            for method in results.methods]  # fmt: skip
    floor = None
    if metric.has_floor:
        floors = [results.floor(train, test, metric) for test in tests]
        floor = Row("real images (floor)", None, [Cell("ok" if f else "missing", f) for f in floors])
    beside = {RULERS[kind]: [results.ruler(kind, train, test, metric) for test in tests] for kind in RULERS}
    beside[THROUGH] = [results.reconstruction(train, test, metric) for test in tests]
    return Table(
        f"{metric.key}_train_{size_label(train).replace('×', 'x')}",
        f"{metric.heading}, trained at {size_label(train)} px",
        *_columns(train, tests),
        rows,
        floor,
        _notes(results, metric, train, rows),
        [_real(label, values) for label, values in beside.items() if any(values)],
    )


def _real(label: str, values: list[Estimate | None]) -> Row:
    return Row(label, None, [Cell("ok" if value else "missing", value) for value in values])


def excess_table(results: Results, metric: Metric, train: Resolution) -> Table:
    """Mean minus the floor of the same size: the only form in which sizes may be compared, and only with care."""
    plain = value_table(results, metric, train)
    floors = plain.floor.cells if plain.floor else []
    rows = [
        Row(row.label, row.method, [_minus(c, f) for c, f in zip(row.cells, floors, strict=True)], row.undertrained,
            row.reference)
        for row in plain.rows
    ]  # fmt: skip
    title = f"{metric.heading}, excess over the floor, trained at {size_label(train)} px"
    notes = ["Each value minus the mean of real against real images of the same size.", *plain.notes[1:]]
    return Table(plain.name + "_excess", title, plain.columns, plain.subtitles, rows, None, notes)


def difference_table(results: Results, metric: Metric, train: Resolution) -> Table | None:
    """Each method minus the reference method, paired over seeds, with its interval; None without a reference."""
    reference = results.reference
    if reference is None:
        return None
    tests = results.resolutions[train]
    rows, scales = [], set()
    for method in results.methods:
        if method == reference:
            continue
        cells = []
        for test in tests:
            found = results.difference(method, reference, train, test, metric)
            state = results.state(method, train, test, metric)
            if found is None and state == "ok":
                state = "same images" if results.coincide(method, reference, train, test) else "missing"
            scales |= {found.scale} if found else set()
            cells.append(Cell(state, found.shown if found else None, asked=len(results.seeds),
                              significant=found is not None and found.separated, interval=True))  # fmt: skip
        rows.append(_row(results, method, train, cells))
    kind = " or ".join(sorted(scales)) or metric.scale
    side = {"lower": "below", "higher": "above"}.get(metric.better or "")
    better = f"{side} {'zero' if kind == 'difference' else 'one'}: better" if side else "no direction known"
    return Table(
        f"{metric.key}_train_{size_label(train).replace('×', 'x')}_against_{reference}",
        f"{metric.label} against {reference} ({kind}), trained at {size_label(train)} px",
        *_columns(train, tests),
        rows,
        None,
        [
            f"Mean {kind} over seeds with its 95 % interval ({better}; {BASES[results.basis(metric)]}).",
            "Bold: separated at 5 % after Holm's correction over each method against the reference and against"
            " resizing, at this size.",
        ],
    )


def _columns(train: Resolution, tests: list[Resolution]) -> tuple[list[str], list[str]]:
    return [size_label(test) for test in tests], [scale_label(test, train) for test in tests]


def _row(results: Results, method: str, train: Resolution, cells: list[Cell]) -> Row:
    return Row(method, method, cells, results.is_undertrained(method, train), method == results.reference)


def _cell(results: Results, method: str, train: Resolution, test: Resolution, metric: Metric, best: list[str]) -> Cell:
    found = results.estimate(method, train, test, metric)
    state = results.state(method, train, test, metric)
    if found is None:
        return Cell(state if state in ("failed", "missing") else "missing")
    tied = False
    if best and method not in best:
        gap = results.difference(method, best[0], train, test, metric)
        tied = gap is not None and gap.low is not None and not gap.separated
    return Cell(state, found, method in best, tied, asked=len(results.seeds))


def _minus(cell: Cell, floor: Cell) -> Cell:
    if cell.value is None:
        return cell
    if floor.value is None:
        return Cell("missing")
    return Cell(cell.state, cell.value.shifted(-floor.value.mean), cell.best, cell.tied, asked=cell.asked)


def _notes(results: Results, metric: Metric, train: Resolution, rows: list[Row]) -> list[str]:
    seeds = len(results.seeds)
    counts = sorted({r.num_samples for r in results.find("measure") if r.num_samples})
    images = f", {' or '.join(map(str, counts))} images a cell" if counts else ""
    known = seeds > 1 or bool(results.comparisons)
    tie = f"; {TIED_MARK}: not separated from it ({BASES[results.basis(metric)]})." if known else "."
    notes = [
        f"Mean ± standard deviation over {seeds} seed{'s' if seeds != 1 else ''}{images}. Columns: test resolution in"
        " pixels (height×width when not square) and its scale. Bold: best mean of the column" + tie,
        "Columns have different references: compare down a column, not along a row.",
    ]
    if (blind := blind_spot(metric, results.resolutions[train])) is not None:
        notes.append(blind)
    if any(row.undertrained for row in rows):
        notes.append(
            f"{UNDERTRAINED_MARK} undertrained: has not reached the reference method's quality at the train resolution;"
            " its other numbers are inconclusive."
        )
    return notes
