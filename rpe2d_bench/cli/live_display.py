"""What a person sees while a run goes on: what happens, how long still, and results as they come.

On a terminal a live panel; otherwise plain lines, few enough for a log. The same is left in the store for
`rpe2d-bench status`.

Longer than other files, because what is shown and what it teaches about the time left read the same events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rpe2d_bench.analysis.real_names import NAMES
from rpe2d_bench.analysis.vocabulary import describe, resolve_metric
from rpe2d_bench.cli.console import put_line
from rpe2d_bench.cli.view import View, duration, worker
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan, size
from rpe2d_bench.plan.order import Job, Order, Part
from rpe2d_bench.plan.work import Work
from rpe2d_bench.runner.time_left import Observed, TimeLeft
from rpe2d_bench.storage.progress import Phase, Progress, ProgressFiles
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

PLAIN_AT = (10.0, 20.0)  # seconds after which a log has its first progress lines
PLAIN_EVERY = 30.0  # seconds between two progress lines after that
REPORT = 8.0  # seconds for comparisons and report, and more for each cell
REPORT_CELL = 0.05


class Display:
    """Context manager around a run; watches its jobs, and `heard` is a listener of its recorder."""

    def __init__(
        self, plan: Plan, store: Store, console: Console, main_metric: str, *, began: float | None = None
    ) -> None:
        self._plan, self._store, self._console, self._main = plan, store, console, main_metric
        self._files = ProgressFiles(store)
        self._files.clear()
        self._printed = len(self._files.notices())
        self._began = time.time() if began is None else began
        self._doing = ""
        self._slots = 1
        self._order = Order(())
        self._done: set[str] = set()  # keys of stages that are in the store or have failed
        self._all: set[str] = set()
        self._cells = [cell.measure.key for trial in plan.trials for cell in trial.cells]
        cells = len(self._cells)
        self._time = TimeLeft(REPORT + REPORT_CELL * cells)
        self._over: float | None = None  # when the last job had ended
        self._known = False  # whether the work is known, and with it the time
        self._first_look: Callable[[int], None] = lambda seed: None
        self._lock = threading.RLock()  # jobs begin and end in the run's thread, the panel is drawn in another
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
        self._files.close()

    # What the run tells

    def planned(self, work: Work) -> None:
        """What the run will do."""
        with self._lock:
            self._order, self._all = Order(work.jobs), {job.key for job in work.jobs}
            self._slots = work.slots
            self._known, self._doing = True, ""

    def phase(self, text: str) -> None:
        """What the driver does."""
        self._doing = text
        if self._live is None and text:
            put_line(self._console, f"{text} ...")

    def begun(self, job: Job) -> None:
        """A worker was given a job."""
        with self._lock:
            self._doing = ""
            self._order.begin(job.key)

    def ended(self, job: Job) -> None:
        """A job has ended; when it was the last of a seed and others follow, the seed's table is shown."""
        with self._lock:
            self._observe(job, self._files.ended(job.key), finished=True)
            if job.key in self._order.running:
                self._order.ended(job.key)
            self._order.forget(job.key)
            self._done.add(job.key)
            seeds = self._plan.experiment.seeds
            first = not self._order.group_is_open(job.group) and len(seeds) > 1
            rest = self._order.open
        if first and rest:
            self._first_look(seeds[job.group])

    def on_first_look(self, show: Callable[[int], None]) -> None:
        """Call this with a seed that is complete while others are not."""
        self._first_look = show

    def on_record(self, record: Record) -> None:
        """One line per new result."""
        if record.status == "failed":
            self._console.print(Text(f"failed: {record.subject} seed {record.seed}: {record.error}", style="red"))
        elif record.stage == "train" and "validation_loss" not in record.metrics:
            self._say(f"{record.model}: a pipeline, used as it is")
        elif record.stage == "train" and record.train_resolution:
            seconds = duration(record.timings.get("train"))
            loss = record.metrics["validation_loss"]
            self._say(f"trained {record.model} {size(record.train_resolution)} seed {record.seed}: "
                      f"validation loss {loss:.4f}, {seconds}")  # fmt: skip
        elif record.test_resolution and (sentence := self._result(record)):
            self._say(sentence)

    def _result(self, record: Record) -> str | None:
        """A line for the numbers of a cell; None where an earlier line has said them, of a method that coincides."""
        methods = list(self._plan.experiment.methods)
        same = [name for name in record.coincides_with if name in methods]
        if any(methods.index(name) < methods.index(str(record.method)) for name in same):
            return None
        name = (
            f"{record.method or NAMES[record.stage].short} {size(record.test_resolution or (0, 0))} seed {record.seed}"
        )
        shown = ", ".join(f"{label} {value}" for label, value in self._shown(record))
        return f"measured {name}: {shown}" + (
            f"\n    same numbers as {record.method}: {', '.join(same)}" if same else ""
        )

    def _shown(self, record: Record) -> list[tuple[str, str]]:
        """The main metric and the accuracy, as the report writes them."""
        found = []
        for name in dict.fromkeys((self._main, "accuracy")):
            try:
                key = resolve_metric(name, record.metrics)
            except UserError:
                key = None
            if key is not None:
                metric, value = describe(key), record.metrics[key]
                thousand = metric.factor == 1000.0 and abs(value) < 1  # as the report has it, for small distances
                factor = 1.0 if metric.factor == 1000.0 and not thousand else metric.factor
                unit = f" {metric.unit}" if metric.unit else ""
                label = "accuracy" if name == "accuracy" else metric.label
                found.append((label + (" × 1000" if thousand else ""), f"{factor * value:.3g}{unit}"))
        return found

    def _say(self, line: str) -> None:
        """On a terminal wrapped between words; in a log a line stays whole."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=self._live is None)

    # What is shown

    def view(self) -> View:
        """This moment, and what it teaches about the time that is left."""
        with self._lock:
            lines = self._workers()
            trainings = [trial.stage.key for trial in self._plan.trials]
            left = self._time.left(self._order, self._slots) if self._known else None
            if left is not None and not self._order.open:
                self._over = self._over or time.time()
                left = max(1.0, left - (time.time() - self._over))
            return View(
                name=self._plan.experiment.name,
                elapsed=time.time() - self._began,
                left=left,
                doing=self._doing,
                models=self._count(trainings),
                cells=self._count(self._cells),
                workers=tuple(lines),
                counts=self._counts(),
            )

    def _workers(self) -> list[str]:
        """A line for each job that is under way, and what it teaches."""
        lines = []
        for job in self._order.running.values():
            progress = self._files.read(job.key)
            self._observe(job, progress)
            lines.append(worker(job.label, progress))
        return lines

    def _count(self, keys: list[str]) -> tuple[int, int]:
        """How many are done; those that were not missing when the run began are."""
        if not self._known:
            return 0, 0
        return sum(key in self._done or key not in self._all for key in keys), len(keys)

    def _counts(self) -> str:
        """In the place of models and cells."""
        return ""

    def _observe(self, job: Job, progress: Progress | None, finished: bool = False) -> None:
        """Pass on what a job has shown."""
        if progress is None:
            return
        waited = 0.0 if finished else max(0.0, time.time() - progress.updated)
        self._time.prepares(job, 0.0 if finished else preparation_left(progress.now, waited))
        for part in job.parts:
            observed = observed_of(part, progress, finished)
            if observed is not None:
                under_way = progress.now.key == part.key
                self._time.observe(part, Observed(*observed, waited if under_way else 0.0))

    def _watch(self) -> None:
        began = printed = time.time()
        first = list(PLAIN_AT)
        while not self._stop.wait(0.5):
            view = self.view()
            self._files.show(view.as_dict() | {"name": self._plan.run})
            self._notices()
            now = time.time()
            if self._live:
                self._live.update(view)
            elif (first and now - began > first[0]) or now - printed > PLAIN_EVERY:
                printed, first = now, first[1:]
                for line in view.lines():
                    put_line(self._console, line)

    def _notices(self) -> None:
        notices = self._files.notices()
        if len(notices) < self._printed:  # another run on this store has begun, and cleared them
            self._printed = 0
        for notice in notices[self._printed :]:
            self._console.print(Text(notice, style="yellow"))
        self._printed = len(notices)


def preparation_left(now: Phase, waited: float) -> float:
    """Seconds until the images that a training needs are there, at the pace so far."""
    made = now.done - now.first
    if not now.name or made <= 0:
        return 0.0
    return max(0.0, (now.total - now.done) * now.seconds / made - waited)


def observed_of(part: Part, progress: Progress, finished: bool) -> tuple[float, float, float] | None:
    """Seconds, the share done in them, and all that is done, of a part of a job; None where nothing is known."""
    phases = [phase for phase in progress.phases if phase.key == part.key and phase.stage]
    counted: list[Phase] = [phase for phase in phases if not phase.name and phase.total]
    if counted:
        last = counted[-1]
        share = (last.done - last.first) / last.total
        over = finished or progress.phases.index(last) < len(progress.phases) - 1
        if over and last.first == last.done:  # done in one go, without a report on the way
            share = 1 - last.first / last.total
        return (last.seconds, share, 1.0 if over else last.done / last.total) if share else None
    if phases and finished:
        return sum(phase.seconds for phase in phases), 1.0, 1.0
    return None
