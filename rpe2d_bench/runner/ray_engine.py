"""Ray drives the stages: Tune a trial per training, tasks the measurements as soon as their model is there.

A fixed number of slots is shared by both, measurements first, so that results come early and nothing that Ray starts
competes with a training. What a stage needs lies in the store; Ray only decides where and when.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any

from rpe2d_bench.config import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.ledger import Ledger
from rpe2d_bench.models.memory import ONE_HEAP
from rpe2d_bench.plan import Plan
from rpe2d_bench.runner.several_gpus import processes, train_together
from rpe2d_bench.stages import MeasureStage
from rpe2d_bench.surroundings import Surroundings

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # of the local cluster that `run` starts; a real cluster keeps its own
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # one at a time by default: the second worker would start after the first
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
OBJECT_STORE = 128 * 2**20  # bytes; stages hand each other paths, not pictures
RETRIES = 2  # of a stage whose process was killed; it continues from its checkpoint


def run(plan: Plan, around: Surroundings, ledger: Ledger) -> None:
    """Finish the plan on a local Ray, or on the cluster that RAY_ADDRESS names."""
    start(around)
    import ray

    try:
        queue = _Queue(plan, around, ledger)
        collector = threading.Thread(target=queue.collect, daemon=True)
        collector.start()
        if queue.untrained:
            _train(queue, around)
        queue.close()
        collector.join()
    finally:
        ray.shutdown()


def start(around: Surroundings) -> None:
    """Ray on this machine, or on the cluster that RAY_ADDRESS names."""
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
        # Twice the slots, which are counted here: Tune keeps the place of an ended trial, so one slot would stand idle.
        num_cpus=2 * slots * resources.cpus_per_trial,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        **common,
    )


class _Queue:
    """Trainings and measurements that are still to do, and the slots they run in."""

    def __init__(self, plan: Plan, around: Surroundings, ledger: Ledger) -> None:
        import ray

        self._ray, self._around, self._ledger = ray, around, ledger
        self._lock = threading.Lock()
        self._free = around.resources.trials_in_parallel
        self._closed = False
        self._running: dict[Any, MeasureStage] = {}
        self._measures: deque[MeasureStage] = deque()
        self._floors = plan.distinct_floors()
        self.trials = plan.trials
        self.untrained = deque(
            number for number, trial in enumerate(plan.trials) if not around.store.has("train", trial.stage.key)
        )
        self._unfinished = {plan.trials[number].stage.key for number in self.untrained}
        resources = around.resources
        self._task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=_gpus(resources), max_retries=RETRIES)(
            _measure
        )
        for number, trial in enumerate(plan.trials):
            if number not in self.untrained:
                ledger.trained(trial)
                self._measures.extend(trial.distinct())
        self._measures = deque(stage for stage in self._measures if not self._at_hand(stage))
        self._floors = [stage for stage in self._floors if not self._at_hand(stage)]
        if not self.untrained:
            self._measures.extend(self._floors)

    def _at_hand(self, stage: MeasureStage) -> bool:
        """Record a measurement that an earlier run finished, without a worker."""
        if self._around.store.fetch("measure", stage.key, self._around.say) is None:
            return False
        self._ledger.measured(stage)
        return True

    def next_training(self) -> int | None:
        """Number of the next trial that can start, when there is a slot that no measurement waits for."""
        with self._lock:
            if self._measures or not self._free:
                return None
            for number in self.untrained:
                start = self.trials[number].stage.start
                if start is None or start.key not in self._unfinished:
                    self._free -= 1
                    self.untrained.remove(number)
                    return number
            return None

    def training_ended(self, number: int, error: str | None, crashed: bool) -> None:
        """Free the slot and queue what the training makes possible."""
        trial = self.trials[number]
        if error is None:
            self._ledger.trained(trial)
        else:
            self._ledger.training_failed(trial, error)
        with self._lock:
            self._free += 1
            self._unfinished.discard(trial.stage.key)
            if error is None:
                self._measures.extend(trial.distinct())
            self._measures.extend(self._floors)
            self._floors = []

    def close(self) -> None:
        """No training will follow."""
        with self._lock:
            self._measures.extend(self._floors)
            self._floors = []
            self._closed = True

    def collect(self) -> None:
        """Start measurements as slots come free and record them as they finish, until all are done."""
        while True:
            with self._lock:
                while self._free and self._measures:
                    stage = self._measures.popleft()
                    self._running[self._task.remote(stage, self._around)] = stage
                    self._free -= 1
                if self._closed and not self._running and not self._measures:
                    return
                waiting = list(self._running)
            if not waiting:
                threading.Event().wait(0.1)
                continue
            done, _ = self._ray.wait(waiting, timeout=0.25)
            for task in done:
                self._finished(task)

    def _finished(self, task: Any) -> None:
        with self._lock:
            stage = self._running.pop(task)
            self._free += 1
        try:
            error = self._ray.get(task)
        except Exception as raised:  # the worker died more often than it is retried, or a bug: the rest goes on
            error = one_line(raised)
        if error is None:
            self._ledger.measured(stage)
        else:
            self._ledger.measuring_failed(stage, error)


def _measure(stage: MeasureStage, around: Surroundings) -> str | None:
    """Runs in a worker; what the user can mend comes back as a sentence."""
    pin_threads(around)
    try:
        stage.make(around)
    except UserError as error:
        return str(error)
    return None


def pin_threads(around: Surroundings) -> None:
    """As many threads in this worker as it was given CPUs."""
    import torch

    torch.set_num_threads(around.resources.cpus_per_trial)


def _train(queue: _Queue, around: Surroundings) -> None:
    """One Tune trial per missing training."""
    from ray import tune

    from rpe2d_bench.runner.tune_hooks import Ended, InOrder

    stages = [trial.stage for trial in queue.trials]

    def training(config: dict[str, Any]) -> None:
        pin_threads(around)
        stage = stages[config["number"]]
        try:
            if several and not around.store.has("train", stage.key):
                train_together(stage, around)
            else:
                stage.make(around)
        except UserError as error:
            tune.report({"done": 0, "failed": str(error)})
        else:
            tune.report({"done": 1})

    resources = around.resources
    several = processes(resources) > 1
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tune.Tuner(
        tune.with_resources(training, {"cpu": resources.cpus_per_trial, "gpu": 0 if several else _gpus(resources)}),
        tune_config=tune.TuneConfig(search_alg=InOrder(queue.next_training), num_samples=len(queue.untrained)),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(around.store.root / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[Ended(queue.training_ended)],
        ),
    ).fit()


def _gpus(resources: Resources) -> float:
    """Of a task that takes one GPU or a share of it."""
    return min(1, resources.gpus_per_trial) if resources.device == "cuda" else 0


def one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"
