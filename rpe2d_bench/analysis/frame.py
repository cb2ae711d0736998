"""Records as one tidy pandas frame: a row per record and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from rpe2d_bench.storage import records as record_file
from rpe2d_bench.storage.records import Record

# The published columns of frames and of every results.csv. Heights and widths are pixels.
COLUMNS = (
    "experiment",
    "run",
    "stage",
    "status",
    "model",
    "method",
    "train_height",
    "train_width",
    "test_height",
    "test_width",
    "seed",
    "metric",
    "value",
    "floor",  # mean over seeds of real against real at the same train and test resolution
    "num_samples",
    "metric_version",
    "key",
    "commit",
    "dirty",
    "device",
    "created",
    "error",
)
INTEGERS = ("train_height", "train_width", "test_height", "test_width", "seed", "num_samples")


def load_frame(records: list[Record]) -> pd.DataFrame:
    """One row per record and metric; a record without metrics (failed) is one row whose metric is missing."""
    floors: dict[tuple[Any, ...], list[float]] = {}
    for record in records:
        if record.stage == "floor" and record.status == "ok":
            for metric, value in record.metrics.items():
                where = (record.run, record.train_resolution, record.test_resolution)
                floors.setdefault((*where, metric), []).append(value)
    rows = [row for record in records for row in _rows(record, floors)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(INTEGERS, "Int64") | {"value": "float64", "floor": "float64"})


def _rows(record: Record, floors: dict[tuple[Any, ...], list[float]]) -> list[dict[str, Any]]:
    train, test = record.train_resolution or (None, None), record.test_resolution or (None, None)
    shared: dict[str, Any] = {
        "experiment": record.experiment,
        "run": record.run,
        "stage": record.stage,
        "status": record.status,
        "model": record.model,
        "method": record.method,
        "train_height": train[0],
        "train_width": train[1],
        "test_height": test[0],
        "test_width": test[1],
        "seed": record.seed,
        "num_samples": record.num_samples,
        "key": record.key,
        "commit": record.provenance.commit,
        "dirty": record.provenance.dirty,
        "device": record.provenance.device,
        "created": record.created,
        "error": record.error,
    }
    if not record.metrics:
        return [shared | {"metric": None, "value": float("nan"), "floor": float("nan"), "metric_version": None}]
    rows = []
    for metric, value in record.metrics.items():
        real: list[float] = []
        if record.of_method:
            trains = (record.train_resolution, None)  # floors of before 2026-11-23 name none
            found = (floors.get((record.run, train, record.test_resolution, metric)) for train in trains)
            real = next(filter(None, found), [])
        rows.append(
            shared
            | {
                "metric": metric,
                "value": value,
                "floor": sum(real) / len(real) if real else float("nan"),
                "metric_version": record.metric_versions.get(metric),
            }
        )
    return rows


def load_records(source: str | Path = "runs", run: str | None = None) -> pd.DataFrame:
    """One row per result and metric, from a store or a .jsonl file; `run` keeps one run, 'latest' the newest.

    Columns are those of every report's CSV. Raises UserError where there are no records.
    """
    found = record_file.read(Path(source))
    chosen = record_file.latest_run(found) if run == "latest" else run
    return load_frame([record for record in found if chosen in (None, record.run)])
