"""In which order a run does its work: pure, so that the engines follow it and the time left is computed from it.

The first complete table, every method at every size for one seed, comes as early as possible: all of a seed goes before
all of the next. Within a seed one slot measures as soon as a model is ready while the others train, so that results
come early and the trainings, the longest pieces, are not what the seed ends with. No slot stands idle, but where a
training needs several: then those that come free are kept for it.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["training", "pool", "share", "cell", "floor"]
MEASURING: tuple[Kind, ...] = ("share", "cell", "floor")
FOR_OTHERS: tuple[Kind, ...] = ("pool", "share")


@dataclass(frozen=True)
class Part:
    """What a job computes: a training, the samples of a cell, what the metrics see of real images, the scores."""

    key: str  # parts of equal keys are computed once
    kind: str  # compute/train, compute/sample/48x48, data/reference, ...: a path, the more alike the longer its prefix
    seconds: float  # planned, on the slots that its job holds


@dataclass(frozen=True)
class Job:
    """A piece of work: a training, a measurement with all that it needs, a share of what is too long for one process,
    or a pool of training images."""

    key: str
    label: str
    kind: Kind
    group: int  # position of its seed in the experiment
    after: tuple[str, ...] = ()  # keys of jobs that have to end before
    parts: tuple[Part, ...] = ()
    slots: int = 1  # that it holds; 0: it computes on CPUs beside them

    @cached_property
    def shared(self) -> frozenset[str]:
        """Parts that other jobs need, too: two at once would wait for each other."""
        return frozenset(part.key for part in self.parts if part.key != self.key and self.kind != "training")


class Order:
    """Which job comes next, given which are running and which have ended."""

    def __init__(
        self, jobs: Iterable[Job], running: Iterable[Job] = (), made: Iterable[str] = (), slots: float = math.inf
    ) -> None:
        """slots: that jobs may hold together; beside them as many jobs may run that hold none."""
        self.slots = slots
        self.running = {job.key: job for job in running}
        self._waiting = {job.key: job for job in sorted(jobs, key=lambda job: job.group)}  # of a group, as planned
        self._made = set(made)
        self._place = {key: place for place, key in enumerate(self._waiting)}
        self._names = list(self._waiting)
        self._blocked: dict[str, int] = {}  # how many jobs a waiting one waits for
        self._unlocks: dict[str, list[str]] = defaultdict(list)
        self._ready: dict[tuple[int, str], list[int]] = defaultdict(list)  # by group and kind, places in order
        for job in self._waiting.values():
            before = {key for key in job.after if key in self._waiting or key in self.running}
            self._blocked[job.key] = len(before)
            for key in before:
                self._unlocks[key].append(job.key)
            if not before:
                self._ready[_queue_of(job)].append(self._place[job.key])

    @property
    def waiting(self) -> list[Job]:
        """In the order of the plan."""
        return list(self._waiting.values())

    @property
    def open(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self._waiting or self.running)

    def copy(self, slots: float | None = None) -> Order:
        """The same state, to try what comes, maybe on another number of slots."""
        return Order(self._waiting.values(), self.running.values(), self._made, self.slots if slots is None else slots)

    def next(self) -> Job | None:
        """The job that starts now; None where all that is left waits for others or for slots."""
        beside = sum(not job.slots for job in self.running.values())
        for queue in sorted(self._ready) if beside < self.slots else ():
            if queue[1] == "beside" and self._ready[queue]:
                return self.begin(self._undisturbed(queue).key)
        free = self.slots - sum(map(self._needs, self.running.values()))
        for queue in self._preferred() if free >= 1 else ():
            job = self._undisturbed(queue)
            if self._needs(job) <= free:
                return self.begin(job.key)
            soon = sum(self._needs(other) for other in self.running.values() if other.kind != "training")
            if self._needs(job) <= free + soon:
                return None  # shares end soon; if others took their slots, a training might wait for ever
        return None

    def begin(self, key: str) -> Job:
        """A job that waits runs now."""
        job = self.running[key] = self._remove(key)
        return job

    def forget(self, key: str) -> None:
        """A job that may still wait is not to be done."""
        if key in self._waiting:
            self._remove(key)

    def _remove(self, key: str) -> Job:
        job = self._waiting.pop(key)
        if not self._blocked[key]:
            self._ready[_queue_of(job)].remove(self._place[key])
        return job

    def _needs(self, job: Job) -> float:
        """Slots; where there are fewer than it asks for, all of them."""
        return min(job.slots, self.slots)

    def _preferred(self) -> Iterator[tuple[int, str]]:
        """Ready jobs that hold slots, by group and kind, those that go first first."""
        measuring = any(job.kind in MEASURING for job in self.running.values())
        for group in sorted({group for (group, _), places in self._ready.items() if places}):
            trainings = self._ready.get((group, "training"), ())
            wide = any(self._at(place).slots > 1 for place in trainings)  # one slot that measures would leave it none
            train, measure = ("training", "pool"), ("share", "cell")
            for kind in (*train, *measure, "floor") if measuring or wide else (*measure, *train, "floor"):
                if self._ready.get((group, kind)):
                    yield group, kind

    def _undisturbed(self, queue: tuple[int, str]) -> Job:
        """The first whose parts no running job makes; the first where there is none."""
        busy = {key for job in self.running.values() for key in job.shared} - self._made
        jobs = map(self._at, self._ready[queue])
        first = next(jobs)
        for job in (first, *jobs) if busy else ():
            if not (job.shared - self._made) & busy:
                return job
        return first

    def _at(self, place: int) -> Job:
        return self._waiting[self._names[place]]

    def ended(self, key: str) -> None:
        """A job has ended, well or not."""
        job = self.running.pop(key)
        self._made |= {part.key for part in job.parts}
        for other in self._unlocks.pop(key, ()):
            if other in self._waiting:
                self._blocked[other] -= 1
                if not self._blocked[other]:
                    insort(self._ready[_queue_of(self._waiting[other])], self._place[other])

    def drop(self, key: str) -> Iterator[Job]:
        """Remove what a failed job leaves without its input, however many steps behind it, and give it back.

        What would be made for such jobs alone (shares and pools, which are no results) goes as well.
        """
        waits = defaultdict[str, set[str]](set)
        for job in self._waiting.values():
            for before in job.after:
                waits[before].add(job.key)
        lost, fresh = set[str](), {key}
        while fresh:
            lost |= fresh
            left = [job for job in self._waiting.values() if job.key not in lost]
            fresh = {job.key for job in left if not lost.isdisjoint(job.after)}
            fresh |= {job.key for job in left if job.kind in FOR_OTHERS and waits[job.key] and waits[job.key] <= lost}
        for job in [job for job in self._waiting.values() if job.key in lost]:
            yield self._remove(job.key)

    def is_made(self, part: Part) -> bool:
        """Whether a job that has ended has computed this part."""
        return part.key in self._made

    def group_is_open(self, group: int) -> bool:
        """Whether anything of a seed is still to be done."""
        return any(job.group == group for job in (*self._waiting.values(), *self.running.values()))


def _queue_of(job: Job) -> tuple[int, str]:
    return job.group, job.kind if job.slots else "beside"
