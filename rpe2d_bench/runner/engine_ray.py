"""Ray runs the stages: a task per training, per measurement and per share of a long one, in workers that stay.

A fixed number of slots is shared by all, in the order of plan.order, so that nothing that Ray starts competes with
a training; what needs CPUs alone holds no GPU. What a stage needs lies in the store; Ray only decides where.
"""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.cpu import ONE_HEAP, keep_freed_memory
from rpe2d_bench.plan.order import Job
from rpe2d_bench.plan.pace import Stage
from rpe2d_bench.runner.head import Head, lost
from rpe2d_bench.runner.preflight import check
from rpe2d_bench.runner.queue import Queue
from rpe2d_bench.runner.retries import Deaths
from rpe2d_bench.runner.several_gpus import processes, train_together
from rpe2d_bench.stages import TrainStage
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.progress import ProgressFiles
from rpe2d_bench.storage.unwritable import Unwritable

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # of the local cluster that `run` starts; a real cluster keeps its own
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_task_oom_retries": "0",  # without end by default; `Deaths` says which stage is tried again
}
SOCKET_PATH = 107  # bytes that a Unix socket's path may have
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest, below Ray's folder
SHORT = "/tmp"
OBJECT_STORE = 128 * 2**20  # bytes; stages hand each other paths, not images


def run(queue: Queue) -> None:
    """Finish the work on a local Ray, or on the cluster that RAY_ADDRESS names."""
    queue.watch.phase("starting Ray")
    start(queue.context)
    import ray

    try:
        _Engine(queue).finish()
    finally:
        ray.shutdown()


def start(context: RunContext, *, places: int = 1) -> None:
    """Ray on this machine, with that many places for each slot, or on the cluster that RAY_ADDRESS names.

    Raises UserError where Ray does not start, or a cluster can't do the work (`preflight`).
    """
    cluster = os.environ.get("RAY_ADDRESS", "")
    if cluster.startswith("ray://"):
        raise UserError(
            f"RAY_ADDRESS={cluster}: addresses of Ray's client are not supported, since stages are files;"
            " run the command on a node of the cluster, such as by `ray job submit`, with RAY_ADDRESS=HEAD:6379"
        )
    for name, value in ENVIRONMENT.items():
        if not (cluster and name == "RAY_AUTH_MODE"):
            os.environ.setdefault(name, value)

    resources = context.resources
    threads = str(resources.cpus_per_trial)
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **ONE_HEAP}},
    }
    if cluster:
        _init(address="auto", **common)
        import ray

        try:
            check(context)
        except BaseException:
            ray.shutdown()
            raise
        return
    _make_room_for_sockets(context)
    slots = resources.trials_in_parallel * processes(resources)
    beside = 0 if resources.device == "cpu" else slots  # what computes on CPUs alone
    _init(
        address="local",  # of its own: Ray would otherwise join any cluster that runs on this machine
        num_cpus=(places * slots + beside) * resources.cpus_per_trial,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        **common,
    )


def _init(**options: Any) -> None:
    """ray.init, whose failures are one sentence."""
    import ray

    try:
        ray.init(**options)
    except Exception as error:  # of any kind: sockets, ports, disk, a cluster that does not answer
        where = f"at RAY_ADDRESS={os.environ['RAY_ADDRESS']}" if options.get("address") == "auto" else "on this machine"
        remedy = "set RAY_TMPDIR to a short path of a folder that can be written"
        if "timed out" in str(error):
            remedy = "the machine is busy: run the same command again"
        raise UserError(
            f"Ray did not start {where} ({one_line(error)}); {remedy}, or leave Ray out with --engine local"
        ) from error


def _make_room_for_sockets(context: RunContext) -> None:
    """Ray puts its sockets below TMPDIR, and the system cuts their paths at 107 bytes: where that is too long, /tmp."""
    if "RAY_TMPDIR" in os.environ:
        return
    longest = f"{tempfile.gettempdir()}/ray/{SOCKET}"
    if len(os.fsencode(longest)) > SOCKET_PATH:
        os.environ["RAY_TMPDIR"] = SHORT
        context.say(f"TMPDIR is too long for the sockets of Ray, whose files go to {SHORT}/ray (RAY_TMPDIR chooses)")


class _Engine:
    """The tasks that run, and the slots they run in."""

    def __init__(self, queue: Queue) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._queue = ray, queue
        resources = queue.context.resources
        self._running: dict[Any, tuple[Job, Stage]] = {}
        self._deaths = Deaths(queue.context.store)
        self._head = Head(ray.get_runtime_context().gcs_address)
        kinds = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError")
        self._deadly = tuple(getattr(ray.exceptions, kind) for kind in kinds)
        self._several = processes(resources) > 1
        share: dict[str, Any] = {"num_cpus": resources.cpus_per_trial, "num_gpus": _gpus(resources)}
        self._task = ray.remote(max_retries=0, **share)(make_stage)
        self._without_gpu = self._task.options(num_gpus=0)
        # processes of a training hold what it takes; what begins them and hears of a kill only waits, beside the driver
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._waiting = self._task.options(num_cpus=0, num_gpus=0, scheduling_strategy=here)

    def finish(self) -> None:
        """Start jobs as slots come free and record them as they end, until all are done."""
        self._start()
        while self._running:
            self._head.check()
            done, _ = self._ray.wait(list(self._running), timeout=1)
            ended = [each for task in done if (each := self._ended(task)) is not None]
            self._start()
            for job in ended:  # watching takes no worker's time
                self._queue.record(job)

    def _start(self) -> None:
        while (work := self._queue.next()) is not None:
            self._deaths.started(work[1])
            self._submit(*work)

    def _submit(self, job: Job, stage: Stage) -> None:
        together = self._several and isinstance(stage, TrainStage)
        function = self._waiting if together else self._task if job.slots else self._without_gpu
        self._running[function.remote(stage, self._queue.context)] = job, stage

    def _ended(self, task: Any) -> Job | None:
        """The job that has ended; None for one whose process died and that is tried again, in its slot."""
        job, stage = self._running.pop(task)
        error = None
        try:
            error = self._ray.get(task)
        except Exception as raised:  # the worker died, or a bug: the rest goes on
            cause = getattr(raised, "cause", raised)
            if isinstance(cause, Unwritable):
                raise Unwritable(str(cause)) from None
            if isinstance(raised, self._ray.exceptions.LocalRayletDiedError):  # Ray takes no more tasks from here
                raise lost() from None
            died = (isinstance(stage, TrainStage) and self._several) or isinstance(raised, self._deadly)
            if died and self._deaths.again(stage):
                self._submit(job, stage)
                return None
            error = one_line(raised)
            if isinstance(raised, self._ray.exceptions.OutOfMemoryError):
                error = "out of memory; lower resources.trials_in_parallel, resources.sample_batch or train.batch_size"
        self._queue.ended(job, error)
        return job


def make_stage(stage: Stage, context: RunContext) -> str | None:
    """Runs in a worker; what the user can mend comes back as a sentence."""
    pin_threads(context)
    assert isinstance(context.progress, ProgressFiles)
    try:
        with context.progress.working(stage.key):
            _make(stage, context)
    except Unwritable:  # ends the run: nothing else could be kept, either
        raise
    except UserError as error:
        return str(error)
    return None


def _make(stage: Stage, context: RunContext) -> None:
    several = processes(context.resources) > 1
    if isinstance(stage, TrainStage) and several and not context.store.has("train", stage.key):
        train_together(stage, context)
    else:
        stage.make(context)


def pin_threads(context: RunContext) -> None:
    """As many threads in this worker as it was given CPUs, and freed memory kept for the next tensor."""
    import torch

    torch.set_num_threads(context.resources.cpus_per_trial)
    keep_freed_memory()


def _gpus(resources: Resources) -> float:
    """Of a task that takes one GPU or a share of it."""
    return min(1, resources.gpus) if resources.device == "cuda" else 0


def one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"
