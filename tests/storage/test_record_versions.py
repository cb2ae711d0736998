"""Records of versions 1 and 2 read as today's, lose nothing, and stand in one file with lines of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_experiment import CONFIG

from rpe2d_bench.reference.records_page import page
from rpe2d_bench.storage import record_lines, records
from rpe2d_bench.storage.record_lines import line_of
from rpe2d_bench.storage.record_parts import MeasurementDetails
from rpe2d_bench.storage.records import RECORDS_FILE, Record

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "reports").glob("*/records.jsonl"))
TRAINED = {"steps": 8, "heads": 3, "head_width": 32, "parameters": 9, "flops_per_step": 2.0, "tokens": 72}


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def version_1(**changes: Any) -> dict[str, Any]:
    names = {"schema_version": 1, "stage": "train", "experiment": "e", "run": "r", "key": "k", "model": "rope"}
    return names | {"train_resolution": [16, 16], "seed": 0, "config": CONFIG, "details": TRAINED} | changes


def read(store: Path, *documents: dict[str, Any]) -> list[Record]:
    (store / RECORDS_FILE).write_bytes(b"".join(map(line_of, documents)))
    return records.read(store, pytest.fail)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_records_are_read_and_lose_nothing(path: Path) -> None:
    output: list[str] = []
    found = {(*record.identity, record.created): record for record in records.read(path, output.append)}
    assert output == []
    assert found
    for document in written(path):
        if document["schema_version"] != 1:
            continue
        resolutions = (document[name] and tuple(document[name]) for name in ("train_resolution", "test_resolution"))
        identity = tuple(document[name] for name in ("run", "stage", "model", "method"))
        record = found.get((*identity, *resolutions, document["seed"], document["created"]))
        if record is None:
            continue  # a later line of the same identity counts
        kept = [part.model_dump(mode="json") for part in (record.training, record.measurement, record.sampling) if part]
        now = {name: value for part in kept for name, value in part.items()}
        if record.measurement and record.measurement.class_counts:
            now["labels"] += f"; images per class: {record.measurement.class_counts}"  # were words of one field
        before = {name: value for name, value in document["details"].items() if name != "tokens"}
        differing = {name for name, value in before.items() if not _within(value, now.get(name))}
        assert not differing
        assert record.metrics == document["metrics"]
        if record.training:
            assert record.training.grid[0] * record.training.grid[1] == document["details"]["tokens"]


def _within(before: Any, now: Any) -> bool:
    """Whether what was written is still there; a type may have added fields at their defaults."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(_within(value, now.get(name)) for name, value in before.items())
    return bool(before == now)


def test_both_versions_stand_in_one_file_and_the_last_line_counts(tmp_path: Path) -> None:
    older = version_1()
    (first,) = read(tmp_path, older)
    assert first.schema_version == 3
    records.append(tmp_path, first.model_copy(update={"metrics": {"validation_loss": 0.5}}))
    records.append(tmp_path, first.model_copy(update={"seed": 1}))
    assert [record.metrics for record in records.read(tmp_path)] == [{"validation_loss": 0.5}, {}]
    stages = [(document["schema_version"], document["stage"]) for document in written(tmp_path / RECORDS_FILE)]
    assert stages == [(1, "train"), *[(3, "configuration"), (3, "train")] * 2]


def test_the_grid_of_version_1_follows_from_tokens_and_patch(tmp_path: Path) -> None:
    oblong = version_1(train_resolution=[24, 48], seed=1)
    cell = {"stage": "measure", "method": "ntk", "test_resolution": [16, 32], "details": {
        "counts": {"generated": 4, "reference": 4}, "sampler": {"kind": "euler"}, "generated_resolution": [16, 32],
        "trained_encoding": {"kind": "axial_rope"}}}  # fmt: skip
    trained, measured = read(tmp_path, oblong, version_1(**cell))
    assert trained.training is not None
    assert measured.sampling is not None
    assert (trained.training.grid, trained.training.flops, trained.training.precision) == ((6, 12), 16.0, "float32")
    assert measured.sampling.grid == (4, 8)


@pytest.mark.parametrize(
    ("words", "counts"),
    [("25 generated, 25 real", ((25, 25), (25, 25))), ("1 to 3 generated, 0 to 2 real", ((1, 3), (0, 2)))],
)
def test_class_counts_in_words_are_read_as_numbers(words: str, counts: tuple[tuple[int, int], tuple[int, int]]) -> None:
    found = MeasurementDetails.model_validate({"labels": f"reference; images per class: {words}"})
    assert found.class_counts is not None
    assert (found.labels, (found.class_counts.generated, found.class_counts.reference)) == ("reference", counts)
    assert str(found.class_counts) == words
    assert MeasurementDetails.model_validate(found.model_dump()) == found


def test_a_failed_line_of_version_1_has_no_details(tmp_path: Path) -> None:
    (record,) = read(tmp_path, version_1(status="failed", error="out of memory", details={}))
    assert (record.status, record.training) == ("failed", None)


@pytest.mark.parametrize("changes", [{"details": {"steps": 3}}, {"model": "gone"}, {"config": {}}])
def test_a_line_that_is_no_record_of_version_1_costs_only_itself(tmp_path: Path, changes: dict[str, Any]) -> None:
    documents = (version_1(seed=1), version_1(**changes), version_1(seed=2))
    (tmp_path / RECORDS_FILE).write_bytes(b"".join(map(line_of, documents)))
    output: list[str] = []
    assert [record.seed for record in records.read(tmp_path, output.append)] == [1, 2]
    assert len(output) == 1
    assert "records.jsonl:2 is not a record of this version" in output[0]


def version_2(**changes: Any) -> dict[str, Any]:
    names = {"schema_version": 2, "stage": "measure", "experiment": "e", "run": "r", "key": "k", "method": "m"}
    parts = {"written": {"name": "e"}, "overrides": ["seeds=[0]"], "provenance": {"commit": "c"}}
    return names | {"seed": 0, "config": CONFIG} | parts | changes


def test_a_record_of_version_2_holds_its_configuration_itself(tmp_path: Path) -> None:
    first, second = read(tmp_path, version_2(), version_2(seed=1))
    shared = first.configuration
    assert (shared.written, shared.overrides, shared.provenance.commit) == ({"name": "e"}, ["seeds=[0]"], "c")
    assert second.configuration is shared  # 10,000 of them are one


def many(store: Path, count: int) -> Path:
    (first,) = read(store, version_2())
    (store / RECORDS_FILE).unlink()
    for seed in range(count):
        records.append(store, first.model_copy(update={"seed": seed}))
    return store / RECORDS_FILE


def test_a_configuration_is_written_twice_however_many_records_name_it(tmp_path: Path) -> None:
    path = many(tmp_path, 6)
    found = records.read(tmp_path)
    assert [document["stage"] for document in written(path)].count("configuration") == record_lines.COPIES == 2
    assert len({id(record.configuration) for record in found}) == 1
    assert b"".join(records.lines_of(found)) == path.read_bytes()


def test_no_one_damaged_line_costs_another(tmp_path: Path) -> None:
    path = many(tmp_path, 4)
    whole = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(whole):
        path.write_bytes(
            b"".join([*whole[:number], line.replace(b'"experiment"', b'"expriment"'), *whole[number + 1 :]])
        )
        output: list[str] = []
        lost = 0 if b'"stage":"configuration"' in line else 1
        assert len(records.read(tmp_path, output.append)) == 4 - lost
        assert len(output) == 1
        assert f"records.jsonl:{number + 1} does not match its digest" in output[0]


def test_a_lost_configuration_is_named_set_aside_and_written_again(tmp_path: Path) -> None:
    path = many(tmp_path, 2)
    record = records.read(tmp_path)[0]
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if b'"stage":"configuration"' not in line]
    path.write_bytes(b"".join(kept))
    output: list[str] = []
    assert records.read(tmp_path, output.append) == []
    assert "records.jsonl:1 names a configuration that no line of the file holds" in output[0]
    records.append(tmp_path, record.model_copy(update={"seed": 7}))  # by then it is there again, for all
    assert [found.seed for found in records.read(tmp_path, pytest.fail)] == [0, 1, 7]
    path.write_bytes(b"".join(kept))
    records.set_aside(tmp_path, output.append)
    assert path.read_bytes() == b""


def test_the_page_is_current_and_describes_every_field() -> None:
    advice = "run: python -m rpe2d_bench.reference.records_page docs/records.md"
    assert (ROOT / "docs" / "records.md").read_text(encoding="utf-8") == page(), advice
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []
