"""What both engines share: which stage is next, and what is recorded when it has ended."""

from __future__ import annotations

from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.order import Job, Order
from rpe2d_bench.plan.pace import Stage
from rpe2d_bench.plan.work import Work
from rpe2d_bench.runner.jobs import Watch
from rpe2d_bench.runner.recorder import Recorder
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.progress import ProgressFiles


class Queue:
    """The work of a run, its order, and the recorder that its results go to."""

    def __init__(
        self, plan: Plan, work: Work, context: RunContext, recorder: Recorder, watch: Watch, slots: int
    ) -> None:
        """slots: that the engine has for jobs at a time."""
        self.context, self.watch = context, watch
        self._work, self._recorder = work, recorder
        self.order = Order(work.jobs, slots=slots)
        self._dropped: dict[str, list[Job]] = {}  # with the job that failed, until that is told
        self._at_hand(plan)
        watch.planned(work)

    def _at_hand(self, plan: Plan) -> None:
        """Record what an earlier run finished, without a worker."""
        for trial in plan.trials:
            if trial.stage.key not in self._work.trainings:
                self._recorder.trained(trial)
        for measure in plan.measures():
            if measure.key not in self._work.measures:
                self._recorder.measured(measure)

    def next(self) -> tuple[Job, Stage] | None:
        """The job that starts now, and what it makes; None where all that is left waits for others or for slots."""
        job = self.order.next()
        if job is None:
            return None
        if isinstance(self.context.progress, ProgressFiles):
            self.context.progress.begun(job.key, "starting its worker, importing torch")
        self.watch.begun(job)
        return job, self._work.stage(job.key)

    def ended(self, job: Job, error: str | None) -> None:
        """Record how a job ended; what can't be computed without it has failed, too."""
        self.order.ended(job.key)
        if error is None:
            for trial in self._work.trainings.get(job.key, ()):
                self._recorder.trained(trial)
            if job.key in self._work.measures:
                self._recorder.measured(self._work.measures[job.key])
            return
        lost = self._dropped[job.key] = list(self.order.drop(job.key))  # at once: a free slot would compute it again
        self._failed(job, error)
        untrained = {each.key for each in (job, *lost) if each.kind == "training"}
        for each in lost:
            if untrained.isdisjoint(each.after) or each.kind == "training":  # whose cells it takes along
                self._failed(each, f"{job.label}: {error}")

    def _failed(self, job: Job, error: str) -> None:
        for trial in self._work.trainings.get(job.key, ()):
            self._recorder.training_failed(trial, error)
        if job.key in self._work.measures:
            self._recorder.measuring_failed(self._work.measures[job.key], error)

    def record(self, job: Job) -> None:
        """Tell whoever watches that a job has ended, after the next was started; with those it took along."""
        for each in (job, *self._dropped.pop(job.key, ())):
            self.watch.ended(each)
