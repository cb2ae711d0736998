"""What a classifier saw: by image and by class, and what is not kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic_records import METHODS, make_records, with_classifier

from rpe2d_bench.analysis.classified import accuracy_by_class, classified, hardest
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.sections.classes import by_class
from rpe2d_bench.storage.records import Record

TRAIN, TEST = (32, 32), (48, 48)


@pytest.fixture
def looked(tmp_path: Path) -> tuple[Path, list[Record]]:
    methods = {name: METHODS[name] for name in ("yarn", "rpe2d")}
    return tmp_path, with_classifier(make_records(tmp_path, seeds=(0, 1), tests=[TEST], methods=methods), tmp_path)


def test_accuracy_by_class_is_the_mean_over_seeds(looked: tuple[Path, list[Record]]) -> None:
    store, records = looked
    found = accuracy_by_class(Results(records), store, TRAIN, TEST)
    assert list(found) == ["yarn", "rpe2d", None]
    means = {label: value.mean for label, value in found["rpe2d"].items()}
    assert means == {k: 50.0 if k % 4 in (0, 3) else 100.0 for k in range(10)}  # wrong in one of two seeds
    assert {value.mean for value in found[None].values()} == {100.0}
    assert hardest(found, 3) == [0, 3, 4]


def test_the_table_has_the_hardest_classes_and_real_images_below(
    looked: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records = looked
    monkeypatch.setattr("rpe2d_bench.report.sections.classes.SHOWN", 4)
    table = by_class(Results(records), store, TRAIN, TEST)
    assert table is not None
    assert table.columns == ["class 0", "class 3", "class 4", "class 7"]
    assert table.words == [("yarn", *["50"] * 4), ("rpe2d", *["50"] * 4), ("real images", *["100"] * 4)]
    assert "the 4 hardest of 10" in table.notes[0]


def test_what_was_not_looked_at_or_is_damaged_says_nothing(looked: tuple[Path, list[Record]]) -> None:
    store, records = looked
    cell = next(record for record in records if record.method == "yarn")
    assert classified(cell, store) is not None
    assert cell.artifacts.observations is not None
    file = store / cell.artifacts.observations
    np.savez(file, **{"whole.features": np.zeros((20, 3))})
    assert classified(cell, store) is None
    file.write_bytes(b"PK torn")
    assert classified(cell, store) is None
    file.unlink()
    assert classified(cell, store) is None
    assert by_class(Results(make_records()), store, TRAIN, TEST) is None
