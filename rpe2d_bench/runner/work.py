"""Stages of a plan in this process, beside any number of others on the same store, without Ray.

Every process goes through the same stages in the same order and takes the first that nobody holds the lock of and
whose inputs are in the store. Nothing else is shared, so a process may come, go or be killed at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.models.cpu import keep_freed_memory
from rpe2d_bench.plan.expand import Plan, size
from rpe2d_bench.plan.order import Job, Order
from rpe2d_bench.plan.pace import Stage
from rpe2d_bench.plan.speed import present
from rpe2d_bench.plan.work import is_there, needs, shares_of, work_of
from rpe2d_bench.runner.several_gpus import processes
from rpe2d_bench.stages import ReferenceStage
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.storage.store import Busy, Store
from rpe2d_bench.storage.unwritable import Unwritable

NAMES = ("train", "reference", "sample", "measure", "denoise")
PART_OF = {"pool": "train"}
WAIT = 1.0  # seconds between two looks at what other processes work on


@dataclass
class Outcome:
    """What a process made, and which of the stages that it was asked for the store lacks then."""

    made: int = 0
    left: list[str] = field(default_factory=list)  # labels
    failed: dict[str, str] = field(default_factory=dict)  # label -> why

    @property
    def sentences(self) -> list[str]:
        """The end of a log."""
        failed = [f"failed: {label}: {why}" for label, why in self.failed.items()]
        others = [label for label in self.left if label not in self.failed]
        names = f" ({', '.join(others[:3])}{', ...' if others[3:] else ''})" if others else ""
        left = f"{len(self.left)} are left{names}" if self.left else "nothing is left; next: rpe2d-bench run"
        return [*failed, f"{self.made} stages made by this process, {left}"]


def make_stages(plan: Plan, context: RunContext, names: tuple[str, ...] = NAMES) -> Outcome:
    """Make stages of these names until all are there, the time is over, or nobody makes what the rest waits for.

    context.store must not wait for locks: Store(root, wait=False). A stage that fails is left, and the rest goes on.
    Raises UserError before anything is begun, and Unwritable.
    """
    _check(plan, context)
    torch.set_num_threads(context.resources.cpus_per_trial)
    keep_freed_memory()
    store, outcome, failed = context.store, Outcome(), dict[str, str]()
    missing, inputs = in_order(plan, store)
    while True:
        missing = {key: (label, stage) for key, (label, stage) in missing.items() if not is_there(stage, store)}
        asked = {key: entry for key, entry in missing.items() if PART_OF.get(entry[1].name, entry[1].name) in names}
        outcome.left = [label for label, _ in asked.values()]
        outcome.failed = {asked[key][0]: why for key, why in failed.items() if key in asked}
        to_do = [entry for key, entry in asked.items() if key not in failed]
        if not to_do or context.out_of_time:
            return outcome
        others = False
        for label, stage in to_do:
            if all(is_there(each, store) for each in inputs[stage.key]):
                if _ended(label, stage, context, outcome, failed):
                    break
                others = True
        else:
            if not others and not any(store.busy(stage.name, key) for key, (_, stage) in missing.items()):
                return outcome
            time.sleep(WAIT)


def _ended(label: str, stage: Stage, context: RunContext, outcome: Outcome, failed: dict[str, str]) -> bool:
    """Whether this process worked on the stage until it was there, had failed or was out of time; no if it is taken."""
    if is_there(stage, context.store):  # another process has made it since the list was written
        return True
    began = time.monotonic()
    try:
        stage.make(context)
        outcome.made += 1
        context.say(f"{label} ({stage.name} {stage.key[:8]}) is there, {time.monotonic() - began:.1f} s")
    except Busy:
        return False
    except OutOfTime:
        context.say(f"{label} ({stage.name} {stage.key[:8]}): the time is over; what is done of it is kept")
    except Unwritable:
        raise
    except UserError as error:
        failed[stage.key] = str(error)
    except torch.OutOfMemoryError:
        failed[stage.key] = "out of memory; start fewer processes, or lower resources.sample_batch or train.batch_size"
    return True


def names_of(text: str) -> tuple[str, ...]:
    """Of stages, from 'train,sample'; raises UserError for what is none."""
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in NAMES:
            raise unknown("stage", name, NAMES)
    return names


def in_order(plan: Plan, store: Store) -> tuple[dict[str, tuple[str, Stage]], dict[str, list[Stage]]]:
    """What the store lacks of a plan, key -> label and stage, in the order in which one process would make it.

    And what has to be in the store before each of them is made, by its key.
    """
    work = work_of(plan, store, lambda _: 0.0)
    order, found = Order(work.jobs, slots=1), dict[str, tuple[str, Stage]]()
    inputs: dict[str, list[Stage]] = {}
    while (job := order.next()) is not None:
        order.ended(job.key)
        whole = work.stage(job.key)
        for stage in (*needs(whole), whole):
            if stage.key not in found:
                found[stage.key] = _label(stage, job), stage
                inputs[stage.key] = [*needs(stage), *shares_of(stage, store, plan.experiment.resources)]
        inputs[job.key] += [work.others[key] for key in job.after if key in work.others]  # pools, of a training
    return found, inputs


def _label(stage: Stage, job: Job) -> str:
    if isinstance(stage, ReferenceStage):
        return f"reference {size(stage.resolution)}"
    return job.label if stage.name in ("train", "pool") else f"{stage.name} {job.label}"


def _check(plan: Plan, context: RunContext) -> None:
    """Raises UserError where this process cannot do what the plan asks for."""
    resources = context.resources
    for trial in plan.trials:
        trial.stage.check_inputs()
    if not present(resources.device):
        raise UserError(
            f"resources.device: {resources.device} is not here; write --set resources.device=cpu to use the CPU"
        )
    if processes(resources) > 1:
        raise UserError(
            f"resources.gpus_per_trial: {resources.gpus:g} trains a model on several GPUs, which needs Ray; "
            "use `rpe2d-bench run`, or --set resources.gpus_per_trial=1 and one process per GPU (CUDA_VISIBLE_DEVICES)"
        )
