"""How long a run still takes: what was planned for every part, corrected by what this run has shown so far.

Pure: observations in, seconds out. Parts have a kind that is a path (compute/sample/48x48). Each prefix of it has a
factor, observed over planned seconds; where little was observed, the factor of the shorter prefix counts: samples are
taken to be as slow, relative to the plan, as trainings were until the first of them is on its way.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from rpe2d_bench.plan.order import Job, Order, Part

TRUSTED = 2.0  # seconds of observation that weigh as much as what is known without them


@dataclass(frozen=True)
class Observed:
    """A part, finished or under way."""

    seconds: float  # that its share took
    share: float  # of the part, done in these seconds
    done: float  # of the part, also by an earlier attempt: 1 is finished
    waited: float = 0.0  # seconds since the share was reported


class TimeLeft:
    """Remembers what was observed of each part; the latest counts."""

    def __init__(self, after: float = 0.0) -> None:
        """after: seconds that the run takes when all jobs have ended: comparisons, the report."""
        self._after = after
        self._seen: dict[str, tuple[Part, Observed]] = {}
        self._preparing: dict[str, float] = {}
        self._sums: dict[str, tuple[float, float]] | None = None  # observed and planned seconds below every prefix

    def observe(self, part: Part, observed: Observed) -> None:
        """What is known of a part now."""
        self._seen[part.key], self._sums = (part, observed), None

    def prepares(self, job: Job, seconds: float) -> None:
        """Seconds that a job still needs before the first of its parts, which no plan knows: training images."""
        self._preparing[job.key] = seconds

    def factor(self, part: Part) -> float:
        """Observed over planned seconds for parts of this kind, and this part where it is under way."""
        if self._sums is None:
            self._sums = self._added()
        log = 0.0
        for prefix in _prefixes(part):
            seconds, planned = self._sums.get(prefix, (0.0, 0.0))
            if seconds > 0 and planned > 0:
                weight = seconds / (seconds + TRUSTED)
                log = weight * math.log(seconds / planned) + (1 - weight) * log
        return math.exp(log)

    def of_part(self, part: Part) -> float:
        """Seconds that are left of a part."""
        seen = self._seen.get(part.key)
        if seen is None:
            return part.seconds * self.factor(part)
        observed = seen[1]
        whole = part.seconds * self.factor(part)
        return max(0.0, whole * (1 - observed.done) - observed.waited)

    def of_job(self, job: Job, made: set[str], order: Order) -> float:
        """Seconds that are left of a job; what it shares is added to `made`."""
        left = self._preparing.get(job.key, 0.0)
        for part in job.parts:
            if part.key not in made and not order.is_made(part):
                left += self.of_part(part)
                made.add(part.key)
        return left

    def left(self, order: Order, slots: int) -> float:
        """Seconds until everything is done, by going through the rest in the order in which it will be done."""
        order, made, now = order.copy(slots), set[str](), 0.0
        ends = [(self.of_job(job, made, order), key) for key, job in order.running.items()]
        heapq.heapify(ends)
        while True:
            while (job := order.next()) is not None:
                heapq.heappush(ends, (now + self.of_job(job, made, order), job.key))
            if not ends:
                return now + self._after
            now, key = heapq.heappop(ends)
            order.ended(key)

    def _added(self) -> dict[str, tuple[float, float]]:
        sums: dict[str, tuple[float, float]] = {}
        for part, observed in self._seen.values():
            for prefix in _prefixes(part):
                seconds, planned = sums.get(prefix, (0.0, 0.0))
                sums[prefix] = (seconds + observed.seconds, planned + part.seconds * observed.share)
        return sums


def _prefixes(part: Part) -> Iterator[str]:
    """compute, compute/sample, compute/sample/48x48, and the part itself."""
    names = part.kind.split("/")
    yield from ("/".join(names[: count + 1]) for count in range(len(names)))
    yield f"{part.kind}/{part.key}"
