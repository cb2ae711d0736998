"""Prepared stores: finished, and stopped in the middle of a training, of a sampling and of a training pool."""

from __future__ import annotations

import io
import os
import signal
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.chaos.experiment import Driven, Result, drive, outcome, plan, run

POOL_CHUNK = 16  # images of a part of a training pool, which is otherwise made in one


@dataclass(frozen=True)
class Prepared:
    """Stores to be copied and damaged, and what an undisturbed run gives."""

    folder: Path
    expected: Result
    report: dict[str, bytes]  # tables and comparisons of the report
    seconds: float  # of an undisturbed run

    def store(self, name: str) -> Path:
        return self.folder / name


def small_chunks() -> None:
    """Make training pools in several parts."""
    from rpe2d_bench.data import image_pool

    image_pool._CHUNK = POOL_CHUNK


def prepare(folder: Path) -> Prepared:
    """Make the stores in a folder. The first run is this process' own, so that no fork has to import anything."""
    with redirect_stdout(io.StringIO()):
        drive(folder, folder / "first")()
    done, sentence = folder / "done", folder / "said.txt"
    began = time.monotonic()
    assert Driven(drive(folder, folder / "undisturbed"), sentence).code() == 0, sentence.read_text()
    seconds = time.monotonic() - began
    # As a user does it, with a report below the store, so that it is copied with it.
    command = ("run", str(folder / "chaos.yaml"), "--engine", "local", "--no-mlflow", "--store", str(done))
    assert Driven(run(*command, "--reports", str(done / "reports")), sentence).code() == 0, sentence.read_text()
    (done / "progress").mkdir(exist_ok=True)
    (done / "progress" / "notices.log").write_text("a sentence\n")
    expected = outcome(folder / "undisturbed")
    assert outcome(done) == expected, "two undisturbed runs differ: nothing can be compared here"
    for name, stop in (("training", _in_training), ("sampling", _in_sampling), ("pooling", _in_pooling)):
        code = Driven(lambda name=name, stop=stop: stop(folder, folder / name), sentence).code()  # type: ignore[misc]
        assert code == -signal.SIGKILL, (name, code, sentence.read_text())
    return Prepared(folder, expected, report_of(done / "reports" / "chaos"), seconds)


def report_of(folder: Path) -> dict[str, bytes]:
    """What of a report is made of numbers alone."""
    files = [*folder.glob("comparisons.json"), *folder.glob("tables/*"), *folder.glob("report.md")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _stopped(folder: Path, store: Path, stage: str, at: int) -> Any:
    """What to make, and with what, so that it is killed when the stage has come that far."""
    from rpe2d_bench.stages.run_context import RunContext
    from rpe2d_bench.storage.store import Store

    made, place = plan(folder), Store(store)

    def progress(name: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        if name == stage and done >= at and "phase" not in facts:  # what prepares it counts for itself
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

    def noted(name: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        from rpe2d_bench.storage.progress import ProgressFiles

        ProgressFiles(place)(name, key, done, total, facts)
        progress(name, key, done, total, facts)

    return made, RunContext(place, made.experiment.resources, print, noted)


def _in_training(folder: Path, store: Path) -> None:
    made, context = _stopped(folder, store, "train", 50)
    made.trials[0].stage.make(context)


def _in_sampling(folder: Path, store: Path) -> None:
    made, context = _stopped(folder, store, "sample", 18)
    made.trials[0].cells[-1].measure.generated.make(context)


def _in_pooling(folder: Path, store: Path) -> None:
    from rpe2d_bench.data import image_pool

    made, context = _stopped(folder, store, "", 0)
    original = image_pool.write_json

    def killed(path: Path, data: Any) -> None:
        original(path, data)
        if path.name == "done.json" and data[0] == 2 * POOL_CHUNK:
            os.kill(os.getpid(), signal.SIGKILL)

    image_pool.write_json = killed
    made.trials[0].stage.make(context)
