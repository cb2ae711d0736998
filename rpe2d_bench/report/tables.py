"""Tables of a run: methods x test resolutions, as values, excess over the floor, and differences."""

from __future__ import annotations

from dataclasses import replace

from rpe2d_bench.analysis.real_names import NAMES, RULERS
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import BASES, Estimate, Scale
from rpe2d_bench.analysis.vocabulary import Quantity, blind_spot, scale_label, size_label
from rpe2d_bench.report.sentence import join
from rpe2d_bench.report.table import ABSENT, TIED_MARK, UNDERTRAINED_MARK, Cell, Row, Table, difference_cell, value_cell
from rpe2d_bench.resolution import Size

SAME = Cell("the same", "quiet")  # of methods that coincide at a size


def tables_of(results: Results, metric: Quantity, train: Size) -> list[Table]:
    """Values, excess over the floor (distances only), differences from the reference method (where one is named)."""
    found = [value_table(results, metric, train)]
    if metric.better == "lower" and metric.has_floor:
        found.append(excess_table(results, metric, train))
    if (against := difference_table(results, metric, train)) is not None:
        found.append(against)
    return found


def value_table(results: Results, metric: Quantity, train: Size) -> Table:
    """Mean ± standard deviation over seeds, with the floor."""
    tests = results.resolutions[train]
    best = {test: results.best(train, test, metric) for test in tests}
    rows = [
        method_row(results, method, train, [_cell(results, method, train, t, metric, best[t]) for t in tests])
        for method in results.methods
    ]
    notes = _notes(results, metric, train, rows)
    if metric.has_floor:
        rows.append(_real(NAMES["floor"].row, [results.real.floor(train, test, metric) for test in tests]))
    beside = {NAMES[kind].row: [results.real.ruler(kind, train, test, metric) for test in tests] for kind in RULERS}
    beside[NAMES["reconstruction"].row] = [results.real.reconstruction(train, test, metric) for test in tests]
    rows += [_real(label, values) for label, values in beside.items() if any(values)]
    title = f"{metric.heading}, trained at {size_label(train)} px"
    return by_size(f"{metric.key}_{at(train)}", title, train, tests, rows, notes)


def excess_table(results: Results, metric: Quantity, train: Size) -> Table:
    """Mean minus the floor of the same size: the only form in which sizes may be compared, and only with care."""
    values = value_table(results, metric, train)
    tests = results.resolutions[train]
    floors = [results.real.floor(train, test, metric) for test in tests]
    rows = [
        Row(row.label, [_minus(c, f, len(results.seeds)) for c, f in zip(row.cells, floors, strict=True)], row.method,
            row.undertrained, row.reference)
        for row in values.rows if not row.real
    ]  # fmt: skip
    title = f"{metric.heading}, excess over the floor, trained at {size_label(train)} px"
    notes = ["Each value minus the mean of real against real images of the same size.", *values.notes[1:]]
    return by_size(values.name + "_excess", title, train, tests, rows, notes)


def difference_table(results: Results, metric: Quantity, train: Size) -> Table | None:
    """Each method minus the reference method, paired over seeds, with its interval; None without a reference."""
    reference = results.reference
    if reference is None:
        return None
    tests = results.resolutions[train]
    rows: list[Row] = []
    scales: set[Scale] = set()
    for method in results.methods:
        if method == reference:
            continue
        cells = []
        for test in tests:
            gap = results.difference(method, reference, train, test, metric)
            state = results.state(method, train, test, metric)
            if gap is not None:
                scales.add(gap.scale)
                cells.append(difference_cell(gap.shown, state, significant=gap.separated))
            else:
                same = results.coincide(method, reference, train, test)
                cells.append(SAME if same else _absent(state))
        rows.append(method_row(results, method, train, cells))
    kind, sides = compared_by(scales, metric)
    notes = [
        f"Mean {kind} over seeds with its 95 % interval ({sides}; {BASES[results.basis(metric)]}).",
        "Bold: separated at 5 % after Holm's correction over each method against the reference and against resizing,"
        " at this size.",
    ]
    title = f"{metric.label} against {reference} ({kind}), trained at {size_label(train)} px"
    return by_size(f"{metric.key}_{at(train)}_against_{reference}", title, train, tests, rows, notes)


def compared_by(scales: set[Scale], metric: Quantity) -> tuple[str, str]:
    """'ratio', 'below one: better': what a table of differences holds, and which side of no difference is better."""
    kind = " or ".join(sorted(scales)) or metric.scale
    side = {"lower": "below", "higher": "above"}.get(metric.better or "")
    nothing = {"difference": "zero"}.get(kind, "one")
    return kind, f"{side} {nothing}: better" if side else "no direction known"


def at(train: Size) -> str:
    """The part of a file name that says where models were trained: 'train_32x64'."""
    return f"train_{size_label(train).replace('×', 'x')}"


def by_size(name: str, title: str, train: Size, tests: list[Size], rows: list[Row], notes: list[str]) -> Table:
    """A table with a column per test resolution, its scale below."""
    scales = [scale_label(test, train) for test in tests]
    return Table(name, title, [size_label(test) for test in tests], rows, subtitles=scales, notes=notes)


def method_row(results: Results, method: str, train: Size, cells: list[Cell]) -> Row:
    return Row(method, cells, method, results.is_undertrained(method, train), method == results.reference)


def _absent(state: str) -> Cell:
    if state == "none":
        return Cell(ABSENT, "quiet")
    state = state if state == "failed" else "missing"
    return Cell(state, state)


def _real(label: str, values: list[Estimate | None]) -> Row:
    return Row(label, [value_cell(v, "ok", v.n) if v else _absent("missing") for v in values], real=True)


def _cell(results: Results, method: str, train: Size, test: Size, metric: Quantity, best: list[str]) -> Cell:
    plain = plain_cell(results, method, train, test, metric)
    if plain.value is None:
        return plain
    tied = False
    if best and method not in best:
        gap = results.difference(method, best[0], train, test, metric)
        tied = gap is not None and gap.low is not None and not gap.separated
    return replace(plain, best=method in best, tied=tied)


def plain_cell(results: Results, method: str, train: Size, test: Size, metric: Quantity) -> Cell:
    """A value with its spread, or why there is none."""
    found = results.estimate(method, train, test, metric)
    state = results.state(method, train, test, metric)
    return value_cell(found, state, len(results.seeds)) if found else _absent(state)


def _minus(cell: Cell, floor: Estimate | None, asked: int) -> Cell:
    if cell.value is None or floor is None:
        return cell if cell.value is None else _absent("missing")
    return value_cell(cell.value.shifted(-floor.mean), cell.state, asked, best=cell.best, tied=cell.tied)


def _notes(results: Results, metric: Quantity, train: Size, rows: list[Row]) -> list[str]:
    seeds = len(results.seeds)
    counts = results.image_counts
    images = f", {' or '.join(map(str, counts))} images a cell" if counts else ""
    known = seeds > 1 or bool(results.comparisons)
    tie = f"; {TIED_MARK}: not separated from it ({BASES[results.basis(metric)]})." if known else "."
    notes = [
        f"Mean ± standard deviation over {seeds} seed{'s' if seeds != 1 else ''}{images}. Columns: test resolution in"
        " pixels (height×width when not square) and its scale. Bold: best mean of the column" + tie,
        "Columns have different references: compare down a column, not along a row.",
    ]
    anchors = [name for name in (results.reference, results.resizing) if name]
    column_best = [{row.method for row in rows if row.cells[column].best} for column in range(len(rows[0].cells))]
    if known and anchors and any(best and not best & set(anchors) for best in column_best):
        notes.append(
            f"{TIED_MARK} rests on two corrections: comparisons with {join(anchors)} are corrected among themselves,"
            " the others over all pairs. That takes more, so a mean that is farther from the best may have the mark."
        )
    if any(row.undertrained for row in rows):
        notes.append(
            f"{UNDERTRAINED_MARK} undertrained: has not reached the reference method's quality at the train resolution;"
            " its other numbers are inconclusive."
        )
    if (blind := blind_spot(metric, results.resolutions[train])) is not None:
        notes.append(blind)
    return notes
