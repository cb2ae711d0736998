"""How far each stage is: a small file per stage under way, written by its worker, read by whoever shows it."""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpe2d_bench.store import Store

LOG = logging.getLogger("rpe2d_bench.progress")
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
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return
        if now - self._written.get(key, 0.0) < EVERY:
            return
        self._written[key] = now
        with suppress(OSError):  # a full disk: how far a stage is can go unseen, and the stage itself will say it
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps([stage, key, done, total, facts, begun, now, first]))
            temporary.replace(path)

    def read(self) -> list[Progress]:
        """Stages under way, oldest first."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                progress = _checked(Progress(*json.loads(path.read_bytes())))
            except (OSError, ValueError, TypeError, AttributeError, RecursionError):
                continue  # just replaced or removed, or damaged: the next one comes within a second
            if time.time() - progress.updated < STALE:
                found.append(progress)
        return sorted(found, key=lambda progress: progress.started)

    def say(self, message: str) -> None:
        """Leave a sentence for whoever watches; workers have no terminal of their own."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / NOTICES).open("a", encoding="utf-8", errors="replace") as file:
                file.write(message.replace("\n", " ") + "\n")
        except OSError:  # a full or read-only disk: at least the terminal of this process has it
            LOG.warning(message)

    def notices(self) -> list[str]:
        """Every sentence since the run began."""
        path = self._folder / NOTICES
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            return []
        return text.split("\n")[:-1]

    def clear(self) -> None:
        """Forget what killed workers left."""
        for path in self._folder.glob("*"):
            with suppress(OSError):  # a store that can't be written
                Path(path).unlink(missing_ok=True)


def _checked(progress: Progress) -> Progress:
    """The progress, if its values are of their kinds; raises TypeError."""
    numbers = (progress.done, progress.total, progress.started, progress.updated, progress.done_at_start)
    texts = (progress.stage, progress.key)
    if not all(isinstance(value, int | float) for value in (*numbers, *progress.facts.values())):
        raise TypeError("not a number")
    if not all(isinstance(value, str) for value in texts):
        raise TypeError("not a text")
    return progress
