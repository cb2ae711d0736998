"""How far each stage is: a small file per stage under way, written by its worker, read by whoever shows it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpe2d_bench.store import Store

EVERY = 1.0  # seconds between two writes of one stage
NOTICES = "notices.log"
STALE = 120.0  # seconds after which a file is a killed worker's


@dataclass(frozen=True)
class Progress:
    """One stage under way."""

    stage: str
    key: str
    done: int
    total: int
    facts: dict[str, Any]
    started: float  # seconds since the epoch
    updated: float
    done_at_start: int

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before there is one."""
        made = self.done - self.done_at_start
        if made <= 0:
            return None
        return (self.total - self.done) * (self.updated - self.started) / made


class ProgressFiles:
    """Writes and reads the files of one store; an instance is a callable that stages report to."""

    def __init__(self, store: Store) -> None:
        self._folder = store.root / "progress"
        self._begun: dict[str, tuple[float, int]] = {}
        self._written: dict[str, float] = {}

    def __call__(self, stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        now = time.time()
        begun, first = self._begun.setdefault(key, (now, done))
        path = self._folder / f"{stage}-{key}.json"
        if done >= total:
            path.unlink(missing_ok=True)
            return
        if now - self._written.get(key, 0.0) < EVERY:
            return
        self._written[key] = now
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps([stage, key, done, total, facts, begun, now, first]))
        temporary.replace(path)

    def read(self) -> list[Progress]:
        """Stages under way, oldest first."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                progress = Progress(*json.loads(path.read_text()))
            except (OSError, ValueError, TypeError):
                continue  # just replaced or removed
            if time.time() - progress.updated < STALE:
                found.append(progress)
        return sorted(found, key=lambda progress: progress.started)

    def say(self, message: str) -> None:
        """Leave a sentence for whoever watches; workers have no terminal of their own."""
        if message in self.notices():
            return  # every stage that reads the same images converts the same
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / NOTICES).open("a") as file:
            file.write(message + "\n")

    def notices(self) -> list[str]:
        """Every sentence since the run began."""
        path = self._folder / NOTICES
        return path.read_text().splitlines() if path.exists() else []

    def clear(self) -> None:
        """Forget what killed workers left."""
        for path in self._folder.glob("*"):
            Path(path).unlink(missing_ok=True)
