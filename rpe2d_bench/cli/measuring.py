"""Sets of images measured, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from rpe2d_bench.analysis.image_sets import MOST, MeasuredSet, compare_sets
from rpe2d_bench.analysis.statistics import Estimate
from rpe2d_bench.analysis.vocabulary import Quantity, describe
from rpe2d_bench.cli.console import open_console, put_line
from rpe2d_bench.metrics.look import Look
from rpe2d_bench.report.table import ABSENT, Cell, Row, Table, difference_cell
from rpe2d_bench.report.terminal import Blocks


def measure_sets(
    sets: Sequence[Path], reference: Path, look: Look, against: str | None, store: Path, as_json: bool
) -> None:
    """Print values, and everything a reader must know about them: what was resized, converted and counted."""
    notes = Console(stderr=True)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(side: str, done: int, total: int) -> None:
            if side not in tasks:
                tasks[side] = bars.add_task(f"{side}: features", total=total)
            bars.update(tasks[side], completed=done)

        found = compare_sets(sets, reference, look, against=against, store=store, progress=progress, say=notes.print)
    if as_json:
        objects = [_as_json(one) for one in found]
        typer.echo(json.dumps(objects if len(objects) > 1 else objects[0], indent=1))
        return
    console = open_console()
    console.print(Blocks(_table(found)))
    for note in [*_legend(found), *_accounts(found, look.seed)]:
        put_line(console, note)


def _as_json(one: MeasuredSet) -> dict[str, Any]:
    differences = {key: dataclasses.asdict(difference) for key, difference in one.differences.items()}
    return {"set": one.name, **dataclasses.asdict(one.measurement), "intervals": one.intervals,
            "differences": differences, "unpaired": one.unpaired}  # fmt: skip


def _table(found: Sequence[MeasuredSet]) -> Table:
    """A row a set; of each metric a column of values, and one of differences where there are any."""
    columns, subtitles = [], []
    rows: dict[str, list[Cell]] = {one.name: [] for one in found}
    for key in found[0].measurement.values:
        metric = describe(key)
        against = next((one.differences[key].against for one in found if key in one.differences), None)
        columns.append(metric.heading)
        subtitles.append("[95 %]")
        if against is not None:
            columns.append(metric.short)
            subtitles.append(f"minus {against}")
        for one in found:
            rows[one.name].append(_value(one, key, metric))
            if against is not None:
                rows[one.name].append(_difference(one, key, metric))
    count = found[0].measurement.details["counts"]
    title = f"{count['generated']:,} images a set against {count['reference']:,} real ones"
    return Table("measured", title, columns, [Row(name, cells) for name, cells in rows.items()], "set", subtitles)


def _value(one: MeasuredSet, key: str, metric: Quantity) -> Cell:
    low, high = one.intervals.get(key, (None, None))
    return _cell(one.measurement.values[key], low, high, metric)


def _difference(one: MeasuredSet, key: str, metric: Quantity) -> Cell:
    found = one.differences.get(key)
    if found is None:
        return Cell(ABSENT, "quiet")
    cell = _cell(found.difference, found.low, found.high, metric)
    state = found.verdict if found.verdict in ("better", "worse") else ""
    return dataclasses.replace(cell, text=f"{cell.text} {found.verdict}", state=state)


def _cell(value: float, low: float | None, high: float | None, metric: Quantity) -> Cell:
    ends = [None if end is None else end * metric.factor for end in (low, high)]
    return difference_cell(Estimate(value * metric.factor, 1, None, *ends), "", significant=False)


def _legend(found: Sequence[MeasuredSet]) -> list[str]:
    """What the table's numbers mean, and why some are absent."""
    keys = list(found[0].measurement.values)
    lines = ["[95 %]: the luck of the images on both sides; it says nothing about another training."]
    if bare := [describe(key).label for key in keys if not any(key in one.intervals for one in found)]:
        lines.append(
            f"No interval of {', '.join(bare)}: too few images to leave some out, more than {MOST:,}, or against the "
            "statistics of a file."
        )
    if any(one.differences for one in found):
        lines.append("Differences are paired image by image; marks hold at 5 % after Holm's correction over the sets.")
    return [*lines, *(f"{one.name} is not paired: {one.unpaired}; no difference." for one in found if one.unpaired)]


def _accounts(found: Sequence[MeasuredSet], seed: int) -> list[str]:
    """Notes and warnings, and what was read of each side; said once where all sets have it."""
    lines: dict[str, None] = {}
    for number, one in enumerate(found):
        name, details = (one.name if len(found) > 1 else "samples"), one.measurement.details
        for key, note in details["notes"].items():
            lines[f"{describe(key).label}: {note}"] = None
        for warning in details["warnings"]:
            lines[f"warning: {warning}"] = None
        for side, source in details["sources"].items():
            if side == "samples" or not number:
                lines[_account(name if side == "samples" else side, source, seed)] = None
    return list(lines)


def _account(side: str, source: dict[str, Any], seed: int) -> str:
    """What was read of one side, in one line."""
    printed = f"{source['used']:,} images"
    if source["used"] != source["found"]:
        printed += f" drawn of {source['found']:,} (seed {seed})"
    printed += f", {', '.join(f'{size}: {number:,}' for size, number in source['sizes'].items())}"
    printed += "".join(f"; {number:,} {note}" for note, number in source["notes"].items())
    return f"{side}: {printed}; {'; '.join(f'{view} {resize}' for view, resize in source['resize'].items())}"
