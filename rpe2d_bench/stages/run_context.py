"""What a stage works with and in: the store, the resources, and whom it tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.storage.store import Store
from rpe2d_bench.training.distributed import Ranks


class Stage(Protocol):
    """What is being made."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...


class OutOfTime(Exception):
    """A stage stopped because its time is over; what it has done so far is in the store."""


@dataclass
class RunContext:
    """What a stage works with and in; nothing of it may change a result."""

    store: Store
    resources: Resources = field(default_factory=lambda: Resources())
    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, str, int, int, dict[str, Any]], None] | None = None  # stage, key, done, total, facts
    ranks: Ranks = field(default_factory=Ranks)  # where several processes compute a training
    until: float | None = None  # time.monotonic() at which a stage saves what it has and raises OutOfTime

    def doing(self, stage: Stage, phase: str, done: int = 0, total: int = 0) -> None:
        """Tell whoever watches what a stage does before or after its own count, so that no phase is silent."""
        if self.progress and not self.ranks.rank:
            self.progress(stage.name, stage.key, done, total, {"phase": phase})

    @property
    def out_of_time(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def check_time(self) -> None:
        """Raises OutOfTime where there is none left."""
        if self.out_of_time:
            raise OutOfTime
