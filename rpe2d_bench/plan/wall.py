"""How long jobs take on a number of slots: the runner's own order, under a clock that nobody waits for. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from rpe2d_bench.plan.order import Job, Order
from rpe2d_bench.plan.pace import faster


@dataclass(frozen=True)
class Wall:
    """From the start of the first job to the end of the last."""

    seconds: float
    work: float  # seconds of all parts that hold a slot, each once, by one device each
    slots: int

    @property
    def busy(self) -> float:
        """Share of the slots' time in which they compute: of the ideal, in which no slot ever waits."""
        return self.work / (self.slots * self.seconds) if self.seconds else 1.0


def wall(jobs: Iterable[Job], slots: int) -> Wall:
    """Slots take jobs as the runner gives them; a job whose part another one is making holds its slot and waits."""
    order, now, work = Order(jobs, slots=slots), 0.0, 0.0
    made: dict[str, float] = {}  # part -> when it is there
    ends: list[tuple[float, str]] = []
    while True:
        while (job := order.next()) is not None:
            end = now
            for part in job.parts:
                if part.key in made:
                    end = max(end, made[part.key])
                else:
                    if job.slots:
                        work += part.seconds * (faster(job.slots) if part.key == job.key else 1)
                    end = made[part.key] = end + part.seconds
            heapq.heappush(ends, (end, job.key))
        if not ends:
            return Wall(now, work, slots)
        now, key = heapq.heappop(ends)
        order.ended(key)
