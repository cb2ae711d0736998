"""A Tracker in a thread of its own: MLflow's import and its transactions hold up neither the run nor its display."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking.system import Sample, Sampler
from rpe2d_bench.tracking.tracker import LOG, Tracker

FINISH_WITHIN = 120.0  # seconds that the end of a run waits for MLflow


class BackgroundTracker:
    """Same calls as Tracker; everything is done in order by one thread."""

    def __init__(
        self, uri: str | None, store: Path, run: str, experiment: Experiment, warn: Callable[[str], None] = LOG.warning
    ) -> None:
        self._warn = warn
        self._tracker = Tracker(uri, store, warn)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="mlflow", daemon=True)
        self._thread.start()
        self._work.put(lambda: self._tracker.start(experiment.name, run, experiment))
        self._sampler = Sampler(store, self._sampled, warn=warn)

    @property
    def alive(self) -> bool:
        """False once MLflow could not be used."""
        return self._tracker.alive

    def log(self, record: Record) -> None:
        self._work.put(lambda: self._tracker.log(record))

    def _sampled(self, sample: Sample) -> None:
        self._work.put(lambda: self._tracker.sampled(sample))

    def finish(self, report: Path | None = None, head: str = "") -> None:
        """Wait until everything is in MLflow, at most two minutes."""
        self._sampler.stop()
        self._work.put(lambda: self._tracker.finish(report, head))
        self._work.put(None)
        self._thread.join(FINISH_WITHIN)
        if self._thread.is_alive():
            self._warn("MLflow is still busy and is left alone; to complete its view later: rpe2d-bench sync")

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            work()
