"""What both engines share: which stage is next, and what is recorded when it has ended."""

from __future__ import annotations

from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.order import Job, Order
from rpe2d_bench.plan.work import Work
from rpe2d_bench.runner.jobs import Watch
from rpe2d_bench.runner.recorder import Recorder
from rpe2d_bench.stages import Evaluation, TrainStage
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.progress import ProgressFiles


class Queue:
    """The work of a run, its order, and the recorder that its results go to."""

    def __init__(self, plan: Plan, work: Work, context: RunContext, recorder: Recorder, watch: Watch) -> None:
        self.context, self.watch = context, watch
        self._work, self._recorder = work, recorder
        self.order = Order(work.jobs)
        self._dropped: dict[str, list[Job]] = {}  # with the training that failed, until that is told
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

    def next(self) -> tuple[Job, TrainStage | Evaluation] | None:
        """The job that a free slot takes, and its stage."""
        job = self.order.next()
        if job is None:
            return None
        if isinstance(self.context.progress, ProgressFiles):
            self.context.progress.begun(job.key, "starting its worker, importing torch")
        self.watch.begun(job)
        trials = self._work.trainings.get(job.key)
        return job, trials[0].stage if trials else self._work.measures[job.key]

    def ended(self, job: Job, error: str | None) -> None:
        """Record how a job ended; the cells of a model that could not be trained are failed, too."""
        self.order.ended(job.key)
        if job.kind == "training" and error is not None:
            self._dropped[job.key] = list(self.order.drop(job.key))  # at once: a free slot would train it again
        if job.kind == "training":
            for trial in self._work.trainings[job.key]:
                if error is None:
                    self._recorder.trained(trial)
                else:
                    self._recorder.training_failed(trial, error)
        elif error is None:
            self._recorder.measured(self._work.measures[job.key])
        else:
            self._recorder.measuring_failed(self._work.measures[job.key], error)

    def record(self, job: Job) -> None:
        """Tell whoever watches that a job has ended, after the next was started; with those it took along."""
        for each in (job, *self._dropped.pop(job.key, ())):
            self.watch.ended(each)
