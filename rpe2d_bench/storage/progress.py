"""How far a run is: small files in the store, written by its workers and its driver, read by whoever shows them.

runs/progress/RUN-KEY.json   a piece of work (a training, a measurement) and the phases that it has gone through
runs/progress/RUN.run        what the driver shows, for `rpe2d-bench status`; touched as long as the driver lives
runs/progress/notices.log    sentences of workers, which have no terminal
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store

LOG = logging.getLogger("rpe2d_bench.storage.progress")
EVERY = 1.0  # seconds between two writes within one phase
NOTICES = "notices.log"
SILENT = 60.0  # seconds after which a driver that did not touch its file is taken for dead


@dataclass
class Phase:
    """A part of a piece of work: the steps of a training, the samples of a cell, or what prepares them."""

    stage: str  # train, sample, reference or measure, and its key: whose phase it is
    key: str
    name: str  # empty for the stage's own count (steps, samples), else what is being done
    done: int
    total: int  # 0 where nothing is counted
    first: int  # `done` when the phase began
    seconds: float  # from its beginning to the last report, or to the next phase


@dataclass(frozen=True)
class Progress:
    """A piece of work: what was done so far, the last phase being under way."""

    key: str
    phases: list[Phase]
    facts: dict[str, Any]
    updated: float  # of the last report, seconds since the epoch

    @property
    def now(self) -> Phase:
        return self.phases[-1]


@dataclass
class ProgressFiles:
    """Writes and reads the files of one run in a store; an instance is a callable that stages report to."""

    store: Store
    run: str = field(default_factory=lambda: f"{platform.node()}-{os.getpid()}")  # of the driver, also in its workers
    _work: str | None = None
    _phases: list[Phase] = field(default_factory=list)
    _facts: dict[str, Any] = field(default_factory=dict)
    _began: float = 0.0
    _written: float = 0.0

    @property
    def folder(self) -> Path:
        return self.store.root / "progress"

    @contextmanager
    def working(self, key: str) -> Iterator[None]:
        """While this is open, what stages of this process report belongs to the piece of work `key`."""
        self._work, self._phases, self._facts = key, [], {}
        try:
            yield
        finally:
            if self._phases:
                self._phases[-1].seconds = time.time() - self._began
                self._write(time.time())
            self._work, self._phases = None, []

    def __call__(self, stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        """A stage has done so much of so much; facts["phase"] names what is not the stage's own count."""
        now, name = time.time(), str(facts.get("phase", ""))
        last = self._phases[-1] if self._phases else None
        fresh = last is None or (last.stage, last.key, last.name, last.total) != (stage, key, name, total)
        if fresh:
            if last is not None:
                last.seconds = now - self._began
            self._phases.append(Phase(stage, key, name, done, total, done, 0.0))
            self._began, self._facts = now, {}
        else:
            assert last is not None
            last.done, last.seconds = done, now - self._began
        self._facts |= {name: value for name, value in facts.items() if name != "phase"}
        if fresh or now - self._written >= EVERY:
            self._write(now)

    def _write(self, now: float) -> None:
        self._written = now
        state = [[vars(phase) for phase in self._phases], self._facts, now]
        with suppress(OSError):  # a display is worth no stage: a full disk is told by what has to be kept
            self._keep(f"{self.run}-{self._work or self._phases[-1].key}.json", state)

    def _keep(self, name: str, data: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / name, data, durable=False)

    def begun(self, key: str, phase: str) -> None:
        """The driver gave a piece of work to a worker that has not reported yet."""
        ProgressFiles(self.store, self.run, _work=key)("", key, 0, 0, {"phase": phase})

    def read(self, key: str) -> Progress | None:
        """A piece of work of this run, if it was begun."""
        try:
            phases, facts, updated = json.loads((self.folder / f"{self.run}-{key}.json").read_bytes())
            return Progress(key, [Phase(**phase) for phase in phases], dict(facts), float(updated))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # just replaced or removed, or damaged
            return None

    def all(self) -> list[Progress]:
        """Every piece of work of this run that is under way."""
        keys = [path.stem.removeprefix(f"{self.run}-") for path in self.folder.glob(f"{self.run}-*.json")]
        return [progress for key in sorted(keys) if (progress := self.read(key)) is not None]

    def ended(self, key: str) -> Progress | None:
        """The last of a piece of work; its file is removed."""
        found = self.read(key)
        with suppress(OSError):
            (self.folder / f"{self.run}-{key}.json").unlink()
        return found

    def show(self, view: dict[str, Any]) -> None:
        """Leave what the driver shows for `rpe2d-bench status`."""
        with suppress(OSError):
            self._keep(f"{self.run}.run", view)

    def say(self, message: str) -> None:
        """Leave a sentence for whoever watches; workers have no terminal of their own."""
        if message in self.notices():
            return  # every stage that reads the same images converts the same
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / NOTICES).open("a", encoding="utf-8", errors="replace") as file:
                file.write(message.replace("\n", " ") + "\n")
        except OSError:  # a full or read-only disk: at least the terminal of this process has it
            LOG.warning(message)

    def notices(self) -> list[str]:
        """Every sentence since the last run that was alone began."""
        try:
            text = (self.folder / NOTICES).read_bytes().decode("utf-8", "replace")
        except OSError:
            return []
        return text.split("\n")[:-1]

    def clear(self) -> None:
        """Forget what dead drivers and their workers left; runs that go on in this store keep theirs."""
        living = {path.stem for path, alive, _ in runs(self.store) if alive} - {self.run}
        for path in self.folder.glob("*"):
            if path.name == NOTICES and living:
                continue
            if not any(path.name.startswith(run) for run in living):
                with suppress(OSError):  # a store that can't be written
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """This run has ended: nothing of it is under way."""
        for path in self.folder.glob(f"{self.run}*"):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def runs(store: Store) -> list[tuple[Path, bool, dict[str, Any]]]:
    """Runs with files in the store, the oldest first: the driver's file, whether it lives, and what it shows."""
    found = []
    for path in sorted((store.root / "progress").glob("*.run")):
        try:
            view, silent = json.loads(path.read_text()), time.time() - path.stat().st_mtime
        except (OSError, ValueError):
            continue  # just replaced or removed
        node, _, process = path.stem.rpartition("-")
        alive = silent < SILENT and (node != platform.node() or _lives(process))
        found.append((path, alive, view))
    return found


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False
    return True
