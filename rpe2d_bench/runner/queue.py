"""What both engines share: which stage is next, and what is recorded when it has ended."""

from __future__ import annotations

from rpe2d_bench.ledger import Ledger
from rpe2d_bench.plan import Plan
from rpe2d_bench.progress import ProgressFiles
from rpe2d_bench.runner.jobs import Watch, Work
from rpe2d_bench.runner.order import Job, Order
from rpe2d_bench.stages import MeasureStage, TrainStage
from rpe2d_bench.surroundings import Surroundings


class Queue:
    """The work of a run, its order, and the ledger that its results go to."""

    def __init__(self, plan: Plan, work: Work, around: Surroundings, ledger: Ledger, watch: Watch) -> None:
        self.around, self.watch = around, watch
        self._work, self._ledger = work, ledger
        self.order = Order(work.jobs)
        self._at_hand(plan)
        watch.planned(work)

    def _at_hand(self, plan: Plan) -> None:
        """Record what an earlier run finished, without a worker."""
        for trial in plan.trials:
            if trial.stage.key not in self._work.trainings:
                self._ledger.trained(trial)
        for measure in plan.measures():
            if measure.key not in self._work.measures:
                self._ledger.measured(measure)

    def next(self) -> tuple[Job, TrainStage | MeasureStage] | None:
        """The job that a free slot takes, and its stage."""
        job = self.order.next()
        if job is None:
            return None
        if isinstance(self.around.progress, ProgressFiles):
            self.around.progress.begun(job.key, "starting its worker, importing torch")
        self.watch.begun(job)
        trials = self._work.trainings.get(job.key)
        return job, trials[0].stage if trials else self._work.measures[job.key]

    def ended(self, job: Job, error: str | None) -> None:
        """Record how a job ended; the cells of a model that could not be trained are failed, too."""
        self.order.ended(job.key)
        if job.kind == "training":
            for trial in self._work.trainings[job.key]:
                if error is None:
                    self._ledger.trained(trial)
                else:
                    self._ledger.training_failed(trial, error)
        elif error is None:
            self._ledger.measured(self._work.measures[job.key])
        else:
            self._ledger.measuring_failed(self._work.measures[job.key], error)

    def told(self, job: Job, error: str | None) -> None:
        """Tell whoever watches that a job has ended, after the next was started; with those it took along."""
        dropped = list(self.order.drop(job.key)) if error is not None and job.kind == "training" else []
        for each in (job, *dropped):
            self.watch.ended(each)
