"""Tables say what the records say: means, spreads, marks, gaps.

Longer than other files, because one set of records serves all of its tests.
"""

from __future__ import annotations

import csv
import io
import math
import re

import pytest
from helpers.synthetic_records import make_records
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from rpe2d_bench.analysis.frame import COLUMNS
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import estimate, paired_t
from rpe2d_bench.analysis.vocabulary import describe, resolve_metric
from rpe2d_bench.errors import UserError
from rpe2d_bench.report import load_frame, terminal_table
from rpe2d_bench.report.formats import csv_text, latex, table_markdown
from rpe2d_bench.report.table import number
from rpe2d_bench.report.tables import difference_table, excess_table, tables_of, value_table

TRAIN = (32, 32)


def test_interval_is_students() -> None:
    # Three values 1, 2, 3: mean 2, sd 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3).
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.spread, found.n) == (2.0, 1.0, 3)
    assert found.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))


def test_one_seed_has_no_interval_and_none_no_number() -> None:
    one = estimate([5.0])
    assert one is not None
    assert one.spread is None
    assert one.low is None
    assert estimate([]) is None


def test_a_paired_t_is_scipys() -> None:
    differences = [0.3, 0.1, 0.4, 0.1, 0.5]
    found, expected = paired_t(differences), stats.ttest_1samp(differences, 0.0)
    assert (found.mean, found.n, found.p) == (pytest.approx(0.28), 5, pytest.approx(expected.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (paired_t([1.0, 1.0, 1.0]).p, paired_t([0.0, 0.0]).p) == (0.0, 1.0)
    assert (paired_t([2.0]).p, paired_t([2.0]).low) == (1.0, None)


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_number_is_readable_and_close(value: float) -> None:
    text = number(value).replace("−", "-")
    assert abs(float(text) - value) <= max(0.0005, abs(value) * 0.006)
    assert text not in ("-0", "-0.000")


def test_main_metric_is_found_by_its_prefix() -> None:
    assert resolve_metric("kid", ["fd_glyphnet", "kid_glyphnet"]) == "kid_glyphnet"
    assert resolve_metric("fd_glyphnet", ["fd_glyphnet"]) == "fd_glyphnet"
    assert resolve_metric("kid", []) is None
    with pytest.raises(UserError, match="did you mean 'fd_glyphnet'"):
        resolve_metric("fd_glyfnet", ["fd_glyphnet"])


def test_table_shows_means_in_shown_units_and_marks_the_best() -> None:
    results = Results(make_records())
    metric = describe("kid_glyphnet")
    table = value_table(results, metric, TRAIN)
    assert table.columns == ["16", "24", "32", "48", "64", "32×64", "64×32"]
    column = table.columns.index("48")
    for row in (row for row in table.rows if not row.real):
        raw = [r.metrics["kid_glyphnet"] for r in results.cell(row.label, TRAIN, (48, 48))]
        value = row.cells[column].value
        assert value is not None
        assert value.mean == pytest.approx(1000 * sum(raw) / 3)
    assert [row.label for row in table.rows if row.cells[column].best] == ["yarn"]
    excess = excess_table(results, metric, TRAIN).rows[0].cells[column].value
    floor = results.real.floor(TRAIN, (48, 48), metric)
    plain = table.rows[0].cells[column].value
    assert excess is not None
    assert floor is not None
    assert plain is not None
    assert excess.mean == pytest.approx(plain.mean - floor.mean)


def test_a_mark_that_rests_on_two_corrections_says_so() -> None:
    """The best of 48 px is a method; where it is the reference itself, every comparison is of one family."""
    notes = {}
    for reference in ("extrapolation", "yarn"):
        records = make_records()
        report = records[0].config.experiment.report.model_copy(update={"reference_method": reference})
        experiment = records[0].config.experiment.model_copy(update={"report": report})
        table = value_table(Results([record.as_of(experiment) for record in records]), describe("kid_glyphnet"), TRAIN)
        notes[reference] = [note for note in table.notes if "rests on two corrections" in note]
    assert len(notes["extrapolation"]) == 1
    assert "comparisons with extrapolation are corrected among themselves" in notes["extrapolation"][0]
    assert notes["yarn"] == []


def test_higher_is_better_for_accuracy() -> None:
    results = Results(make_records())
    assert results.best(TRAIN, (48, 48), describe("accuracy_glyphjudge")) == ["yarn"]
    assert results.best(TRAIN, (48, 48), describe("unheard_of")) == []


def test_difference_to_itself_is_left_out_and_signs_are_right() -> None:
    table = difference_table(Results(make_records()), describe("fd_glyphnet"), TRAIN)
    assert table is not None
    assert "yarn" not in [row.label for row in table.rows]
    cell = table.rows[0].cells[table.columns.index("64")]
    assert cell.value is not None
    assert cell.value.mean > 0
    assert cell.significant


def test_missing_failed_and_partial_cells_are_shown() -> None:
    records = [
        r.model_copy(update={"status": "failed", "error": "out of memory", "metrics": {}})
        if r.method == "yarn" and r.test_resolution == (64, 64) else r
        for r in make_records()
        if not (r.method == "ntk" and r.test_resolution == (64, 64))
        and not (r.method == "rpe2d" and r.test_resolution == (64, 64) and r.seed == 2)
    ]  # fmt: skip
    results = Results(records)
    table = value_table(results, describe("kid_glyphnet"), TRAIN)
    column = table.columns.index("64")
    states = {row.label: row.cells[column].text for row in table.rows}
    assert states["ntk"] == "missing"
    assert states["yarn"] == "failed"
    assert states["rpe2d"].endswith("(n = 2 of 3)")
    for text in (table_markdown(table), latex(table), csv_text(table)):
        assert "missing" in text
        assert "failed" in text


def test_csv_holds_the_numbers_in_full() -> None:
    results = Results(make_records())
    metric = describe("kid_glyphnet")
    rows = list(csv.DictReader(io.StringIO(csv_text(value_table(results, metric, TRAIN)))))
    found = next(row for row in rows if row["method"] == "rpe2d" and row["test_resolution"] == "32x64")
    expected = results.estimate("rpe2d", TRAIN, (32, 64), metric)
    assert expected is not None
    assert float(found["mean"]) == expected.mean
    assert found["low_95"] == repr(expected.low)


def test_names_cannot_break_a_table() -> None:
    bad = "=cmd|'/c'!A0 & 100%_{x} <b>"
    results = Results(make_records(methods={bad: {"model": "rope"}, "yarn": {"model": "rope"}}))
    table = value_table(results, describe("kid_glyphnet"), TRAIN)
    body = latex(table)
    assert r"\& 100\%\_\{x\}" in body
    assert all(line.count(r" & ") == len(table.columns) for line in body.splitlines() if line.startswith("yarn"))
    assert "<b>" not in table_markdown(table)
    cells = [line.replace("\\|", "").count("|") for line in table_markdown(table).splitlines() if line.startswith("|")]
    assert set(cells) == {len(table.columns) + 2}
    assert csv_text(table).splitlines()[1].startswith("'=cmd")


def test_frame_has_the_published_columns() -> None:
    records = make_records(seeds=(0,))
    frame = load_frame([*records, records[-1].model_copy(update={"status": "failed", "metrics": {}, "seed": 9})])
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == sum(len(r.metrics) for r in records) + 1
    cell = frame[(frame.method == "yarn") & (frame.test_width == 48) & (frame.metric == "fd_glyphnet")].iloc[0]
    real = next(r for r in records if r.stage == "floor" and r.test_resolution == (48, 48))
    assert cell.floor == real.metrics["fd_glyphnet"]


def test_terminal_table_prints_marks_and_floor() -> None:
    console = Console(width=200, record=True)
    records = make_records()
    with console.capture() as captured:
        console.print(terminal_table(records))
    assert "real images (floor)" in captured.get()
    assert "1.5×" in captured.get()
    with console.capture() as captured:
        console.print(terminal_table([r for r in records if r.stage == "train"]))
    assert "Nothing has been measured yet" in captured.get()


def test_terminal_table_is_cut_into_blocks_where_it_does_not_fit() -> None:
    records = make_records()
    for width, heads in ((200, 2), (80, 4), (40, 11)):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(terminal_table(records))
        lines = captured.get().splitlines()
        assert max(map(len, lines)) <= width
        assert sum(line.startswith("method  ") for line in lines) == heads  # of the head's grid and of the values
        found = [line for line in lines if line.startswith("extrapolation")]
        assert len(found) == heads  # a method is one line of each block
        numbers = [float(number) for line in found for number in re.findall(r"(\d[\d.]*) ±", line)]
        assert len(numbers) == 7
        assert "…" not in captured.get()


def test_a_model_far_behind_the_reference_is_undertrained() -> None:
    records = [
        r.model_copy(update={"metrics": r.metrics | {"kid_glyphnet": 0.02}})
        if r.stage == "measure" and r.model == "rpe2d" and r.test_resolution == TRAIN else r
        for r in make_records()
    ]  # fmt: skip
    assert set(Results(records).undertrained) == {("rpe2d", TRAIN)}


def test_a_model_whose_samples_are_not_recognised_is_undertrained_where_its_distance_is_level() -> None:
    level = {
        "metric": "kid_glyphnet", "train_resolution": TRAIN, "test_resolution": TRAIN, "method": "rpe2d",
        "against": "extrapolation", "difference": 0.0, "low": -0.01, "high": 0.01, "p": 0.9, "seeds": 1,
        "covers": "samples only",
    }  # fmt: skip
    for accuracy, expected in ((0.90, {("rpe2d", TRAIN)}), (0.97, set())):
        changed = {"accuracy_glyphjudge": accuracy, "kid_glyphnet": 0.02}
        records = [
            r.model_copy(update={"metrics": r.metrics | changed})
            if r.stage == "measure" and r.model == "rpe2d" and r.test_resolution == TRAIN else r
            for r in make_records(seeds=(0,))
        ]  # fmt: skip
        assert set(Results(records, [level]).undertrained) == expected


def test_two_runs_are_not_mixed() -> None:
    with pytest.raises(UserError, match="2 runs"):
        Results(make_records(seeds=(0,)) + make_records(seeds=(0,), run="run1"))
    with pytest.raises(UserError, match="no records"):
        Results([])


def test_what_looks_into_the_model_has_no_floor() -> None:
    records = make_records()
    for record in records:
        if record.stage == "measure":
            record.metrics["denoising_loss"] = 0.1 + 0.01 * (record.seed or 0)
    results = Results(records, [])
    metric = describe("denoising_loss")
    assert not any(row.real for row in value_table(results, metric, TRAIN).rows)
    names = [table.name for m in results.metrics for table in tables_of(results, m, TRAIN)]
    assert "denoising_loss_train_32" in names
    assert "denoising_loss_train_32_excess" not in names
    assert any(name.endswith("_excess") for name in names)


def test_where_bold_cannot_be_seen_a_star_marks_the_best_and_the_legend_says_so() -> None:
    records = make_records()
    piped, seen = Console(width=200), Console(width=200, force_terminal=True, color_system="standard")
    with piped.capture() as captured:
        piped.print(terminal_table(records))
    plain = captured.get()
    assert "\x1b" not in plain
    assert "Bold" not in plain
    assert "*: best mean of the column" in " ".join(plain.split())
    rows = [line for line in plain.splitlines() if " *" in line and "mean" not in line]
    assert rows
    with seen.capture() as captured:
        seen.print(terminal_table(records))
    assert "Bold: best" in captured.get()
    assert " *" not in captured.get()


def test_cells_that_coincide_are_stated_once() -> None:
    records = make_records()
    console = Console(width=200)
    with console.capture() as captured:
        console.print(terminal_table(records))
    rows = [line for line in captured.get().splitlines() if "= extrapolation" in line]
    assert {line.split()[0] for line in rows} >= {"interpolation"}
    assert all(line.count("= extrapolation") == 1 for line in rows)  # at the train size alone
    assert "the same encoding at this size" in captured.get()
