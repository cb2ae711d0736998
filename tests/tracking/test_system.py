"""What the machine did is sampled during long runs only, kept in the store, and shown with its training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from helpers.synthetic_records import METHODS, make_records

from rpe2d_bench.storage.record_parts import Artifacts
from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import Tracker, sync
from rpe2d_bench.tracking.naming import milliseconds
from rpe2d_bench.tracking.system import FILE, Sampler, during, of_training

SMALL = {"yarn": METHODS["yarn"]}


def write(store: Path, times: list[float]) -> None:
    lines = [
        json.dumps({"time": when, "system/cpu_utilization_percentage": float(at)}) for at, when in enumerate(times)
    ]
    (store / FILE).write_text("\n".join(lines) + '\n{"time": 1')  # torn by a kill


def test_the_machine_is_sampled_and_kept(tmp_path: Path) -> None:
    on_record: list[tuple[float, dict[str, float]]] = []
    sampler = Sampler(tmp_path, on_record.append, after=0.0, every=0.1)
    give_up = time.monotonic() + 60
    while len(on_record) < 3 and time.monotonic() < give_up:
        time.sleep(0.05)
    sampler.stop()
    kept = during(tmp_path, 0.0, time.time() + 1)
    assert len(kept) >= 3
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= kept[0][1].keys()
    assert all(0 <= values["system/cpu_utilization_percentage"] <= 100 for _, values in kept)
    assert [round(when, 1) for when, _ in on_record][: len(kept)] == [when for when, _ in kept][: len(on_record)]


def test_a_short_run_does_not_import_the_monitors(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from rpe2d_bench.tracking.system import Sampler\n"
        f"s = Sampler(Path({str(tmp_path)!r}), print); time.sleep(0.1); s.stop()\n"
        "sys.exit('mlflow' in sys.modules or 'psutil' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert not (tmp_path / FILE).exists()


def test_long_series_are_averaged_and_torn_lines_skipped(tmp_path: Path) -> None:
    write(tmp_path, [float(when) for when in range(100)])
    found = during(tmp_path, 10.0, 29.0, points=10)
    assert [when for when, _ in found] == [10.5 + 2 * n for n in range(10)]
    assert [values["system/cpu_utilization_percentage"] for _, values in found] == [10.5 + 2 * n for n in range(10)]
    assert during(tmp_path / "absent", 0.0, 1e12) == []


def test_a_training_gets_the_samples_of_its_own_time(tmp_path: Path) -> None:
    record = make_records(tmp_path, seeds=(0,), tests=[(32, 32)], methods=SMALL)[0]
    end = milliseconds(record.created) / 1000
    write(tmp_path, [end - 1000, end - 600, end - 10, end + 60])
    assert record.timings == {"train": 900.0}
    assert [(m.value, m.step) for m in of_training(record, tmp_path)] == [(1.0, 300), (2.0, 890)]
    short = record.model_copy(update={"timings": {"train": 30.0}})
    assert of_training(short, tmp_path) == []
    # Trained long before this record was written, by an earlier run: the weights' file knows when.
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    os.utime(weights, (end - 550, end - 550))
    cached = record.model_copy(update={"artifacts": Artifacts(checkpoint=weights.name)})
    assert [m.value for m in of_training(cached, tmp_path)] == [0.0, 1.0]


def test_system_metrics_come_back_with_sync(logged: tuple[Path, list[Record]]) -> None:
    store, everything = logged
    records = [r.model_copy(update={"experiment": "long", "run": "long0"}) for r in everything if r.seed == 0]
    end = milliseconds(records[0].created) / 1000
    write(store, [end - 800, end - 400, end - 5])
    sync(store, None, records)
    tracker = Tracker(None, store)
    tracker.start("long", "long0", records[0].config.experiment)
    tracker.sampled((time.time(), {"system/cpu_utilization_percentage": 50.0}))
    runs = tracker.client.search_runs([tracker.client.get_experiment_by_name("long").experiment_id])
    named = {run.info.run_name: run for run in runs}
    history = tracker.client.get_metric_history(named["rope seed 0"].info.run_id, "system/cpu_utilization_percentage")
    assert [(point.value, point.step) for point in history] == [(0.0, 100), (1.0, 500), (2.0, 895)]
    assert named["long0"].data.metrics["system/cpu_utilization_percentage"] == 50.0
    assert not any(name.startswith("system/") for name in named["yarn 32 seed 0"].data.metrics)
    (store / FILE).unlink()
