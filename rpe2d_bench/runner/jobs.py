"""Who watches the jobs of a run."""

from __future__ import annotations

from typing import Protocol

from rpe2d_bench.plan.order import Job
from rpe2d_bench.plan.work import Work


class Watch(Protocol):
    """Hears of a run while it goes on."""

    def planned(self, work: Work) -> None:
        """What the run will do."""

    def phase(self, text: str) -> None:
        """What the driver does."""

    def begun(self, job: Job) -> None:
        """A worker was given a job."""

    def ended(self, job: Job) -> None:
        """A job has ended, well or not, and its records are written."""


class Nobody:
    """Watches nothing."""

    def planned(self, work: Work) -> None: ...

    def phase(self, text: str) -> None: ...

    def begun(self, job: Job) -> None: ...

    def ended(self, job: Job) -> None: ...
