"""Metrics over test resolution, per method and seed and as means over seeds, as curves the UI draws.

A curve has the square test resolutions; its step is the side in pixels. The UI makes a section of charts from what
precedes the slash of a name and sorts them: the main metric, then all curves, then sizes.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.vocabulary import resolve_metric
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import naming

if TYPE_CHECKING:
    from rpe2d_bench.tracking.tracker import Tracker

Values = dict[str, dict[Size, list[float]]]  # metric -> test resolution -> one value per seed


def log_series(tracker: Tracker, records: list[Record]) -> None:
    """One run per method, train resolution and seed."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in _measured(records):
        groups.setdefault((record.method, record.model, record.train_resolution, record.seed), []).append(record)
    for (method, model, train, seed), found in groups.items():
        name = f"{naming.trained_at(method or REAL, found[0])} seed {seed}"
        tags = {"stage": "method", "seed": str(seed)}
        _log(tracker, name, tags, ("series", method, model, train, seed), found)


def log_means(tracker: Tracker, records: list[Record]) -> None:
    """One run per method and train resolution: means over the seeds, beside the sweep so that the UI opens on them."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in _measured(records):
        groups.setdefault((record.method, record.model, record.train_resolution), []).append(record)
    for (method, model, train), found in groups.items():
        seeds = len({record.seed for record in found})
        name = naming.trained_at(method or REAL, found[0])
        _log(tracker, name, {"stage": "mean", "seeds": str(seeds)}, ("mean", method, model, train), found)


def _measured(records: list[Record]) -> list[Record]:
    return [r for r in records if (r.of_method or r.stage == "floor") and r.status == "ok" and r.test_resolution]


def _log(tracker: Tracker, name: str, tags: dict[str, str], what: tuple[Any, ...], found: list[Record]) -> None:
    from mlflow.entities import Metric

    first = found[0]
    digest = naming.identity(*sorted(naming.digest(record) for record in found))
    key = naming.identity(first.run, *what)
    if tracker.reuse(key, digest) is not None:
        return
    known = {
        "method": first.method or REAL,
        "model": first.model,
        "train_resolution": naming.size(first.train_resolution),
        "run": first.run,
        naming.IDENTITY: key,
        naming.DIGEST: digest,
    }
    newest = max(record.created for record in found)
    tags = tags | {k: str(v) for k, v in known.items() if v} | naming.shown_as(first)
    note = f"Means over {seeds} seed{'' if seeds == '1' else 's'}." if (seeds := tags.get("seeds")) else ""
    run_id = tracker.child(name, tags, newest, 0.0, note, nested=what[0] != "mean")
    when, metrics = naming.milliseconds(newest), []
    main = resolve_metric(first.config.experiment.report.main_metric, {name for r in found for name in r.metrics})
    for metric, sizes in _values(found).items():
        for test, values in sizes.items():
            mean = fmean(values)
            metrics.append(Metric(f"size {naming.size(test)}px/{naming.clean(metric)}", mean, when, 0))
            if test[0] == test[1]:
                sections = ("answer", "curves") if metric == main else ("curves",)
                metrics += [Metric(f"{s}/{naming.clean(metric)}", mean, when, test[0]) for s in sections]
    tracker.batch(run_id, metrics, {})
    tracker.client.set_terminated(run_id, "FINISHED", when)


def _values(found: list[Record]) -> Values:
    values: Values = {}
    for record in found:
        assert record.test_resolution is not None
        for metric, value in record.metrics.items():
            if math.isfinite(value):
                values.setdefault(metric, {}).setdefault(record.test_resolution, []).append(value)
    return values
