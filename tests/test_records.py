"""Records survive kills, are read newest first, and name their damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench import records
from rpe2d_bench.errors import UserError
from rpe2d_bench.records import Record


def a_record(**changes: object) -> Record:
    return Record.model_validate(
        {"stage": "measure", "experiment": "e", "run": "r", "key": "k", "method": "m", "seed": 0} | changes
    )


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = a_record(metrics={"kid": 0.1 + 0.2}, test_resolution=(32, 64), provenance=records.provenance())
    records.append(tmp_path, record)
    assert records.read(tmp_path) == [record]


def test_the_newest_of_an_identity_counts(tmp_path: Path) -> None:
    records.append(tmp_path, a_record(metrics={"kid": 1.0}))
    records.append(tmp_path, a_record(seed=1))
    records.append(tmp_path, a_record(metrics={"kid": 2.0}))
    assert [record.metrics for record in records.read(tmp_path)] == [{"kid": 2.0}, {}]


@given(cut=st.integers(min_value=1, max_value=400))
def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    records.append(folder, a_record(seed=0))
    records.append(folder, a_record(seed=1))
    path = folder / records.RECORDS_FILE
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(second, len(whole) - cut)])
    assert [record.seed for record in records.read(folder)] == [0]
    records.append(folder, a_record(seed=2))
    assert [record.seed for record in records.read(folder)] == [0, 2]


def test_damage_inside_the_file_is_an_error_with_its_line(tmp_path: Path) -> None:
    for seed in range(3):
        records.append(tmp_path, a_record(seed=seed))
    path = tmp_path / records.RECORDS_FILE
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"seed"', '"sead"')
    path.write_text("".join(lines))
    with pytest.raises(UserError, match=r"records\.jsonl:2: not a record"):
        records.read(tmp_path)


def test_a_store_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run an experiment first"):
        records.read(tmp_path)


def test_the_latest_run_is_that_of_the_newest_record() -> None:
    old = a_record(run="old", created="2026-01-01T00:00:00+00:00")
    new = a_record(run="new", created="2026-01-02T00:00:00+00:00", experiment="f")
    assert records.latest_run([new, old]) == "new"
    assert records.latest_run([new, old], "e") == "old"
    assert records.latest_run([], None) is None
