"""What the machine did while it trained: mlflow's own monitors of processors, memory, disk, network and GPUs.

Samples lie in the store, so that the view of a run can be rebuilt with them. They are of the machine that drives the
run, as a whole: trainings side by side share them, and other machines of a cluster are not in them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import naming

if TYPE_CHECKING:
    from mlflow.entities import Metric

FILE = "system_metrics.jsonl"
AFTER = 60.0  # seconds before the first sample: a short run does not even import the monitors
EVERY = 10.0  # seconds between two samples
POINTS = 300  # of a metric of one training; longer series are averaged

Sample = tuple[float, dict[str, float]]  # seconds since the epoch, metric -> value


class Sampler:
    """A thread that samples the machine until it is stopped; `heard` is told of each sample."""

    def __init__(
        self,
        store: Path,
        on_record: Callable[[Sample], None],
        after: float = AFTER,
        every: float = EVERY,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._file, self._on_record, self._after, self._every = Path(store) / FILE, on_record, after, every
        self._warn = warn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _loop(self) -> None:
        if self._stop.wait(self._after):
            return
        try:
            monitors = _monitors()
            while not self._stop.wait(self._every):
                sample = (time.time(), _measured(monitors))
                if not self._another_samples():
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                    with self._file.open("a") as file:
                        file.write(json.dumps({"time": round(sample[0], 1)} | sample[1]) + "\n")
                self._on_record(sample)
        except Exception as error:  # a full disk, a driver that went away
            self._warn(f"system metrics end here ({type(error).__name__}: {error}); the run goes on without them")

    def _another_samples(self) -> bool:
        """Whether another run on this store has just written: samples are of the machine, one writer is enough."""
        try:
            return time.time() - self._file.stat().st_mtime < 0.5 * self._every
        except OSError:
            return False


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with suppress(ImportError, RuntimeError):  # nvidia-ml-py is not installed, or there is no GPU here
        monitors.append(GPUMonitor())
    monitors[0].collect_metrics()  # psutil counts the processors' time from the call before
    monitors[0].clear_metrics()
    return monitors


def _measured(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values |= monitor.aggregate_metrics()
        monitor.clear_metrics()
    return {f"system/{name}": float(value) for name, value in values.items()}


def during(store: Path, start: float, end: float, points: int = POINTS) -> list[Sample]:
    """The samples of a stretch of time (seconds since the epoch), averaged where there are more than `points`."""
    try:
        lines = (Path(store) / FILE).read_bytes().split(b"\n")
    except OSError:
        return []
    found: list[Sample] = []
    for line in lines:
        try:
            entry = json.loads(line)
            when = float(entry.pop("time"))
            if start <= when <= end:
                found.append((when, {name: float(value) for name, value in entry.items()}))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # a kill can tear the last line
    size = -(-len(found) // points)
    return [_average(found[at : at + size]) for at in range(0, len(found), size)] if found else []


def _average(samples: list[Sample]) -> Sample:
    names = dict.fromkeys(name for _, values in samples for name in values)
    return (
        fmean(when for when, _ in samples),
        {name: fmean(v[name] for _, v in samples if name in v) for name in names},
    )


def as_metrics(samples: list[Sample], start: float) -> list[Metric]:
    """What MLflow shows under "System metrics"; the step is the second since the start."""
    from mlflow.entities import Metric

    return [
        Metric(name, value, int(1000 * when), int(when - start))
        for when, values in samples
        for name, value in values.items()
    ]


def of_training(record: Record, store: Path) -> list[Metric]:
    """What the machine did during a training; nothing for short ones."""
    seconds = record.timings.get("train", 0.0)
    if seconds < AFTER:
        return []
    weights = Path(store) / (record.artifacts.checkpoint or "")
    # A training that an earlier run made is recorded anew; when it ran is what its weights' file says.
    end = weights.stat().st_mtime if weights.is_file() else naming.milliseconds(record.created) / 1000
    return as_metrics(during(store, end - seconds, end + 1), end - seconds)
