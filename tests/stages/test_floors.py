"""Real against real images: a floor per train and test resolution and seed, measured once where they are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.analysis.frame import load_frame
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

TWO = "resolutions=[{train: 16, test: [24]}, {train: 32, test: [24]}]"


def planned(tiny: Path, metrics: str) -> Plan:
    overrides = (TWO, "train.steps=1", f"evaluate.metrics={metrics}", "report={main_metric: kid}")
    return make_plan(load_experiment(tiny, overrides, ["extrapolation"]), overrides)


def test_floors_are_shared_only_where_the_train_resolution_does_not_matter(tiny: Path) -> None:
    for metrics, distinct in (("[kid]", 1), ("[kid, kid_global]", 2)):
        plan = planned(tiny, metrics)
        floors = [floor for floor in plan.floors if floor.kind == "floor"]
        assert [floor.train_resolution for floor in floors] == [(16, 16), (32, 32)]
        assert len({floor.measure.key for floor in floors}) == distinct


@pytest.mark.parametrize("metrics", ["[kid]", "[kid, kid_global]"])
def test_every_train_resolution_has_its_floor_in_the_report(tiny: Path, tmp_path: Path, metrics: str) -> None:
    found = run(planned(tiny, metrics), Store(tmp_path / "runs"), engine="local")
    results = Results(found)
    floors = {train: results.real.found(train, (24, 24)) for train in ((16, 16), (32, 32))}
    assert [len(records) for records in floors.values()] == [1, 1]
    keys = {records[0].key for records in floors.values()}
    assert len(keys) == (1 if metrics == "[kid]" else 2)
    frame = load_frame(found)
    for (height, _), (record,) in floors.items():
        cells = frame[(frame.stage == "measure") & (frame.train_height == height)]
        for name, value in record.metrics.items():
            assert set(cells[cells.metric == name].floor) == {value}


def test_floors_of_earlier_records_serve_every_train_resolution(tiny: Path, tmp_path: Path) -> None:
    found = run(planned(tiny, "[kid]"), Store(tmp_path / "runs"), engine="local")
    old: list[Record] = []
    for record in found:
        if record.stage != "floor":
            old.append(record)
        elif record.train_resolution == (16, 16):
            old.append(record.model_copy(update={"train_resolution": None}))
    for train in ((16, 16), (32, 32)):
        assert len(Results(old).real.found(train, (24, 24))) == 1
        assert len(Results([*old, *found]).real.found(train, (24, 24))) == 1  # never both
    assert load_frame(old).query("stage == 'measure'").floor.notna().all()
