"""How a run looks while it goes on: the same lines in its own terminal, in a log and in `rpe2d-bench status`.

Light to import, and a value: the driver leaves it in the store as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rpe2d_bench.storage.progress import Progress

BAR = 30  # columns
INDENT = "    "


@dataclass(frozen=True)
class View:
    """A moment of a run."""

    name: str
    elapsed: float  # seconds
    left: float | None  # seconds of the whole run; None before it is known
    doing: str  # what the driver does, where no worker is at work
    models: tuple[int, int] = (0, 0)  # done, all
    cells: tuple[int, int] = (0, 0)
    workers: tuple[str, ...] = ()  # a line for each
    counts: str = ""  # in the place of models and cells

    @property
    def share(self) -> float:
        """Of the whole run's time that is over."""
        return self.elapsed / (self.elapsed + self.left) if self.left is not None else 0.0

    @property
    def counted(self) -> str:
        """'2 of 6 models, 12 of 90 cells'."""
        return self.counts or f"{_count(self.models, 'model')}, {_count(self.cells, 'cell')}"

    @property
    def summary(self) -> str:
        """'2 min, about 9 min left: 2 of 6 models, 12 of 90 cells'."""
        left = "" if self.left is None else f", about {duration(self.left)} left"
        known = self.counts or any((*self.models, *self.cells))
        return f"{duration(self.elapsed)}{left}" + (f": {self.counted}" if known else "")

    def lines(self) -> list[str]:
        """For a log."""
        doing = [INDENT + self.doing] if self.doing else []
        return [self.summary, *doing, *(INDENT + worker for worker in self.workers)]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, view: dict[str, Any]) -> View:
        """From `as_dict`, by way of JSON."""
        tuples = {name: tuple(view[name]) for name in ("models", "cells", "workers")}
        return cls(**{**view, **tuples})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """With a bar: one for the whole run."""
        first, *rest = self.lines()
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=self.share, width=min(BAR, max(10, options.max_width - len(first) - 2)))
        line.add_row(bar, Text(first, style="bold", no_wrap=len(first) + BAR < options.max_width))
        yield line
        for text in rest:
            yield Text(text, no_wrap=True, overflow="ellipsis")


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "?"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def worker(label: str, progress: Progress | None) -> str:
    """'train rope 32px seed 0: training 300/1200, loss 0.1234, 86 images/s'."""
    if progress is None:
        return f"{label}: starting its worker, importing torch"
    now = progress.now
    words = now.name or VERBS.get(now.stage, now.stage)
    count = f" {now.done:,}/{now.total:,}" if now.total else ""
    return f"{label}: {words}{count}{_facts(progress.facts)}"


VERBS = {"train": "training", "sample": "sampling", "reference": "features of real images"}


def _facts(facts: dict[str, Any]) -> str:
    shown = f", loss {facts['loss']:.4f}" if "loss" in facts else ""
    if "images_per_second" in facts:
        rate = facts["images_per_second"]
        shown += f", {rate:.0f} images/s" if rate >= 10 else f", {rate:.1f} images/s"
    return shown


def _count(count: tuple[int, int], what: str) -> str:
    return f"{count[0]} of {count[1]} {what}{'' if count[1] == 1 else 's'}"
