"""Ray runs the stages: a task per training and per measurement, in workers that stay.

A fixed number of slots is shared by both, measurements first, so that results come early and nothing that Ray starts
competes with a training. What a stage needs lies in the store; Ray only decides where and when.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import Any

from rpe2d_bench.config import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.ledger import Ledger
from rpe2d_bench.models.memory import ONE_HEAP, keep_freed_memory
from rpe2d_bench.plan import Plan, Trial
from rpe2d_bench.runner.several_gpus import processes, train_together
from rpe2d_bench.stages import MeasureStage, TrainStage
from rpe2d_bench.surroundings import Surroundings

RETRIES = 2  # of a stage whose process was killed; it continues from its checkpoint
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # of the local cluster that `run` starts; a real cluster keeps its own
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_task_oom_retries": str(RETRIES),  # without end by default, for a stage that never fits
}
OBJECT_STORE = 128 * 2**20  # bytes; stages hand each other paths, not pictures


def run(plan: Plan, around: Surroundings, ledger: Ledger) -> None:
    """Finish the plan on a local Ray, or on the cluster that RAY_ADDRESS names."""
    start(around)
    import ray

    try:
        _Queue(plan, around, ledger).finish()
    finally:
        ray.shutdown()


def start(around: Surroundings, *, places: int = 1) -> None:
    """Ray on this machine, with that many places for each slot, or on the cluster that RAY_ADDRESS names."""
    cluster = os.environ.get("RAY_ADDRESS")
    for name, value in ENVIRONMENT.items():
        if not (cluster and name == "RAY_AUTH_MODE"):
            os.environ.setdefault(name, value)
    import ray

    resources = around.resources
    threads = str(resources.cpus_per_trial)
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **ONE_HEAP}},
    }
    if cluster:
        ray.init(address="auto", **common)
        return
    together = processes(resources)
    slots = resources.trials_in_parallel * (1 if together == 1 else 1 + together)
    ray.init(
        num_cpus=places * slots * resources.cpus_per_trial,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        **common,
    )


class _Queue:
    """Trainings and measurements that are still to do, and the slots they run in."""

    def __init__(self, plan: Plan, around: Surroundings, ledger: Ledger) -> None:
        import ray

        self._ray, self._around, self._ledger = ray, around, ledger
        resources = around.resources
        self._free = resources.trials_in_parallel
        self._running: dict[Any, Trial | MeasureStage] = {}
        self._untrained: list[Trial] = []
        measures: list[MeasureStage] = []
        for trial in plan.trials:
            if around.store.has("train", trial.stage.key):
                ledger.trained(trial)
                measures.extend(trial.distinct())
            else:
                self._untrained.append(trial)
        self._unfinished = {trial.stage.key for trial in self._untrained}
        self._measures = deque(stage for stage in measures if not self._at_hand(stage))
        self._floors = deque(stage for stage in plan.distinct_floors() if not self._at_hand(stage))
        several = processes(resources) > 1  # which hold the GPUs; their training only waits, and hears of a kill
        share: dict[str, Any] = {"num_cpus": resources.cpus_per_trial, "num_gpus": _gpus(resources)}
        self._measure = ray.remote(max_retries=RETRIES, **share)(make_stage)
        self._train = self._measure.options(num_gpus=0, retry_exceptions=True) if several else self._measure

    def _at_hand(self, stage: MeasureStage) -> bool:
        """Record a measurement that an earlier run finished, without a worker."""
        if self._around.store.fetch("measure", stage.key, self._around.say) is None:
            return False
        self._ledger.measured(stage)
        return True

    def finish(self) -> None:
        """Start stages as slots come free and record them as they end, until all are done."""
        self._start()
        while self._running:
            done, _ = self._ray.wait(list(self._running), timeout=1)
            for task in done:
                self._ended(task)
            self._start()

    def _start(self) -> None:
        while self._free and (work := self._next()) is not None:
            if isinstance(work, MeasureStage):
                task = self._measure.remote(work, self._around)
            else:
                task = self._train.remote(work.stage, self._around)
            self._running[task] = work
            self._free -= 1

    def _next(self) -> Trial | MeasureStage | None:
        """A measurement, else a training that waits for no other, else a floor, so that no slot stands idle."""
        if self._measures:
            return self._measures.popleft()
        for number, trial in enumerate(self._untrained):
            start = trial.stage.start
            if start is None or start.key not in self._unfinished:
                return self._untrained.pop(number)
        return self._floors.popleft() if self._floors else None

    def _ended(self, task: Any) -> None:
        work = self._running.pop(task)
        self._free += 1
        try:
            error = self._ray.get(task)
        except self._ray.exceptions.OutOfMemoryError:
            error = "out of memory; lower resources.trials_in_parallel, resources.sample_batch or train.batch_size"
        except Exception as raised:  # the worker died more often than it is retried, or a bug: the rest goes on
            error = one_line(raised)
        if isinstance(work, MeasureStage):
            self._ledger.measured(work) if error is None else self._ledger.measuring_failed(work, error)
            return
        self._unfinished.discard(work.stage.key)
        if error is None:
            self._ledger.trained(work)
            self._measures.extend(work.distinct())
        else:
            self._ledger.training_failed(work, error)
        self._measures.extend(self._floors)
        self._floors.clear()


def make_stage(stage: TrainStage | MeasureStage, around: Surroundings) -> str | None:
    """Runs in a worker; what the user can mend comes back as a sentence."""
    pin_threads(around)
    several = processes(around.resources) > 1
    try:
        if isinstance(stage, TrainStage) and several and not around.store.has("train", stage.key):
            train_together(stage, around)
        else:
            stage.make(around)
    except UserError as error:
        return str(error)
    return None


def pin_threads(around: Surroundings) -> None:
    """As many threads in this worker as it was given CPUs, and freed memory kept for the next tensor."""
    import torch

    torch.set_num_threads(around.resources.cpus_per_trial)
    keep_freed_memory()


def _gpus(resources: Resources) -> float:
    """Of a task that takes one GPU or a share of it."""
    return min(1, resources.gpus_per_trial) if resources.device == "cuda" else 0


def one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"
