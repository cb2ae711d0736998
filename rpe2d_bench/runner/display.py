"""What a person sees while a run goes on: what runs, how far, how long still, and results as they come.

On a terminal a live panel; otherwise plain lines, few enough for a log.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rpe2d_bench.plan import Plan, size
from rpe2d_bench.progress import Progress, ProgressFiles
from rpe2d_bench.records import Record
from rpe2d_bench.store import Store

WIDE = 110  # columns that a worker's line takes
PLAIN_EVERY = 30.0  # seconds between two progress lines where there is no terminal


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


NOBODYS = {"floor": "real against real", "reconstruction": "the autoencoder's reconstruction"}


class Display:
    """Context manager around a run; `heard` is a listener of its ledger."""

    def __init__(self, plan: Plan, store: Store, console: Console, main_metric: str) -> None:
        self._plan, self._store, self._console, self._main = plan, store, console, main_metric
        self._files = ProgressFiles(store)
        self._files.clear()
        self._labels = {trial.stage.key: f"train {trial.label}" for trial in plan.trials}
        for trial in plan.trials:
            for cell in trial.cells:
                label = f"sample {cell.method} {size(cell.test_resolution)} seed {cell.seed}"
                self._labels.setdefault(cell.measure.generated.key, label)
        self._trainings = len(plan.trials)
        self._cells = sum(len(trial.cells) for trial in plan.trials) + len(plan.floors)
        self._trained = self._measured = self._told = 0
        self._began = time.time()
        self._stop = threading.Event()
        self._live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._notices()
        if self._live:
            self._live.stop()

    def heard(self, record: Record) -> None:
        """One line per new result."""
        if record.stage == "train":
            self._trained += 1
        else:
            self._measured += 1
        if record.status == "failed":
            what = f"{record.method or record.model or 'real pictures'} seed {record.seed}"
            self._console.print(Text(f"failed: {what}: {record.error}", style="red"))
        elif record.stage == "train" and record.train_resolution:
            seconds = record.timings.get("train")
            loss = record.metrics["validation_loss"]
            name = f"{record.model} {size(record.train_resolution)} seed {record.seed}"
            line = f"trained {name}: validation loss {loss:.4f}, {duration(seconds)}"
            self._console.print(Text(line), soft_wrap=True)
        elif record.test_resolution:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items() if self._is_shown(name))
            name = f"{record.method or NOBODYS[record.stage]} {size(record.test_resolution)} seed {record.seed}"
            self._console.print(Text(f"measured {name}: {shown}"), soft_wrap=True)

    def _is_shown(self, name: str) -> bool:
        return name.startswith((f"{self._main}_", "accuracy_"))

    def _watch(self) -> None:
        told = time.time()
        while not self._stop.wait(0.5):
            under_way = self._files.read()
            self._notices()
            if self._live:
                self._live.update(self._panel(under_way))
            elif time.time() - told > PLAIN_EVERY:
                told = time.time()
                states = "; ".join(self._line(progress) for progress in under_way) or "starting workers"
                self._console.print(f"[{self._summary()}] {states}", highlight=False, markup=False, soft_wrap=True)

    def _notices(self) -> None:
        notices = self._files.notices()
        for notice in notices[self._told :]:
            self._console.print(Text(notice, style="yellow"))
        self._told = len(notices)

    def _summary(self) -> str:
        elapsed = duration(time.time() - self._began)
        return f"{elapsed}, {self._trained}/{self._trainings} models, {self._measured}/{self._cells} cells"

    def _line(self, progress: Progress) -> str:
        label = self._labels.get(progress.key, f"{progress.stage} {progress.key[:8]}")
        facts = _facts(progress)
        left = duration(progress.seconds_left)
        return f"{label} {progress.done}/{progress.total}{facts}, {left} left"

    def _panel(self, under_way: list[Progress]) -> Group:
        """A line per worker, or two where the terminal is too narrow for one."""
        lines: list[RenderableType] = []
        table = Table.grid(padding=(0, 1))
        narrow = self._console.width < WIDE
        for progress in under_way:
            label = self._labels.get(progress.key, f"{progress.stage} {progress.key[:8]}")
            bar = ProgressBar(total=progress.total, completed=progress.done, width=12 if narrow else 24)
            counts = f"{progress.done}/{progress.total}"
            facts: list[RenderableType] = [
                bar,
                counts,
                _facts(progress).lstrip(", "),
                f"{duration(progress.seconds_left)} left",
            ]
            if narrow:
                row = Table.grid(padding=(0, 1))
                row.add_row(" ", *facts)
                lines += [Text(label, no_wrap=True), row]
            else:
                table.add_row(Text(label), *facts)
        return Group(Text(self._summary(), style="bold"), *(lines if narrow else [table]))


def _facts(progress: Progress) -> str:
    shown = ""
    if "loss" in progress.facts:
        shown += f", loss {progress.facts['loss']:.4f}"
    if "images_per_second" in progress.facts:
        shown += f", {progress.facts['images_per_second']:.0f} images/s"
    return shown
