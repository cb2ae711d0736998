"""Trains and samples what a job asks for, one stage after the other, until the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rpe2d_bench.detached.job import Job
from rpe2d_bench.errors import UserError
from rpe2d_bench.stages import SampleStage, TrainStage
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.storage.store import Store

EVERY = 30.0  # seconds between two lines of progress


def work(job: Job, store: Store, limit: float, device: str | None, say: Callable[[str], None]) -> bool:
    """Whether everything is done; what can't be done is said, and the rest goes on. Raises UserError before anything.

    A stage that runs out of time saves what it has; the next call continues.
    """
    until = time.monotonic() + limit
    resources = job.resources.model_copy(update={"device": device or job.resources.device})
    _check_device(resources.device)
    _check_data(job)
    _pin_threads(resources.cpus_per_trial)
    context = RunContext(store, resources, say, _Progress(say), until=until)
    failed: set[str] = set()
    for label, training in job.trainings.items():
        samples = [sample for sample in job.samples if sample.train.key == training.key]
        stages: list[TrainStage | SampleStage] = [training, *samples]
        for stage in stages:
            outcome = _made(stage, context, label, failed)
            if outcome is None:
                say("out of time; the same command continues")
                return False
    return not failed


def _made(stage: TrainStage | SampleStage, context: RunContext, label: str, failed: set[str]) -> bool | None:
    """Whether a stage is there now; None when the time is over."""
    needs = stage.train if isinstance(stage, SampleStage) else stage.start
    if needs is not None and needs.key in failed:
        failed.add(stage.key)
        return False
    if context.store.has(stage.name, stage.key):
        return True
    what = label if isinstance(stage, TrainStage) else f"{label} at {stage.resolution[0]}x{stage.resolution[1]} px"
    try:
        context.check_time()
        context.say(f"{stage.name} {what} ({stage.key[:8]})")
        stage.make(context)
    except OutOfTime:
        return None
    except UserError as error:
        context.say(f"failed: {stage.name} {what}: {error}")
        failed.add(stage.key)
        return False
    return True


class _Progress:
    """A line now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._printed = say, time.monotonic()

    def __call__(self, stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        if time.monotonic() - self._printed > EVERY:
            self._printed = time.monotonic()
            numbers = ", ".join(f"{name} {facts[name]:.4g}" for name in ("loss", "images_per_second") if name in facts)
            count = f"{done} of {total}" if total else ""
            text = ", ".join(part for part in (str(facts.get("phase", "")), count, numbers) if part)
            self._say(f"  {stage} {key[:8]}: {text}")


def _check_device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("the job asks for cuda and PyTorch sees no such device here; add --device cpu")


def _check_data(job: Job) -> None:
    """The images here are those that the job was prepared with."""
    from rpe2d_bench import data

    for stage in job.trainings.values():
        found = data.build(stage.data).revision
        if found != stage.revision:
            raise UserError(
                f"the images at {stage.data.get('path', stage.data['name'])} are not those of the job ({found}, not "
                f"{stage.revision}); carry the same files, or prepare the job with these"
            )
        return  # one data set for all


def _pin_threads(count: int) -> None:
    import torch

    from rpe2d_bench.models.cpu import keep_freed_memory

    torch.set_num_threads(count)
    keep_freed_memory()
