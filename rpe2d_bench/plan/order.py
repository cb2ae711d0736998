"""In which order a run does its work: pure, so that the engines follow it and the time left is computed from it.

The first complete table, every method at every size for one seed, comes as early as possible: all of a seed goes before
all of the next. Within a seed one slot measures as soon as a model is ready while the others train, so that results
come early and the trainings, the longest pieces, are not what the seed ends with. No slot stands idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Part:
    """What a job computes: a training, the samples of a cell, what the metrics see of real images, the scores."""

    key: str  # parts of equal keys are computed once
    kind: str  # compute/train, compute/sample/48x48, data/reference, ...: a path, the more alike the longer its prefix
    seconds: float  # planned


@dataclass(frozen=True)
class Job:
    """A piece of work that takes one slot: a training, or a measurement with all that it needs."""

    key: str
    label: str
    kind: Literal["training", "cell", "floor"]
    group: int  # position of its seed in the experiment
    after: str | None = None  # key of a job that has to end before
    parts: tuple[Part, ...] = ()

    def shared(self) -> set[str]:
        """Parts that other jobs need, too: two at once would wait for each other."""
        return {part.key for part in self.parts if part.key != self.key} if self.kind != "training" else set()


class Order:
    """Which job comes next, given which are running and which have ended."""

    def __init__(self, jobs: Iterable[Job], running: Iterable[Job] = (), made: Iterable[str] = ()) -> None:
        self.waiting = sorted(jobs, key=lambda job: job.group)  # stable: the order of the plan within a group
        self.running = {job.key: job for job in running}
        self._made = set(made)

    def copy(self) -> Order:
        """The same state, to try what comes."""
        return Order(self.waiting, self.running.values(), self._made)

    def next(self) -> Job | None:
        """The job that the next free slot takes; None where all that is left waits for something."""
        for choice in self._choices():
            if not choice:
                continue
            busy = {key for job in self.running.values() for key in job.shared()} - self._made
            job = next((job for job in choice if not (job.shared() - self._made) & busy), choice[0])
            self.waiting.remove(job)
            self.running[job.key] = job
            return job
        return None

    def _choices(self) -> Iterator[list[Job]]:
        """Ready jobs, those that go first first."""
        open_keys = {job.key for job in self.waiting} | set(self.running)
        ready = [job for job in self.waiting if job.after is None or job.after not in open_keys]
        measuring = any(job.kind != "training" for job in self.running.values())
        for group in sorted({job.group for job in ready}):
            trainings, cells, floors = (
                [job for job in ready if job.group == group and job.kind == kind]
                for kind in ("training", "cell", "floor")
            )
            yield from (trainings, cells, floors) if measuring else (cells, trainings, floors)

    def ended(self, key: str) -> None:
        """A job has ended, well or not."""
        job = self.running.pop(key)
        self._made |= {part.key for part in job.parts}

    def drop(self, key: str) -> Iterator[Job]:
        """Remove the cells that wait for a job whose training failed, and give them back."""
        dropped = [job for job in self.waiting if job.after == key and job.kind == "cell"]
        self.waiting = [job for job in self.waiting if job not in dropped]
        yield from dropped

    def is_made(self, part: Part) -> bool:
        """Whether a job that has ended has computed this part."""
        return part.key in self._made

    def group_is_open(self, group: int) -> bool:
        """Whether anything of a seed is still to be done."""
        return any(job.group == group for job in (*self.waiting, *self.running.values()))
