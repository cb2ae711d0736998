"""How many GPUs a training has where the file says `auto`: with as many the runner's own order ends soonest.

Several GPUs shorten a training and leave fewer trainings at a time: that pays where these are few, or where the last of
them would be waited for. Nothing of it enters a key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rpe2d_bench.plan.cost import pace_for
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.pace import Pace, seconds_of
from rpe2d_bench.plan.wall import wall
from rpe2d_bench.plan.work import work_of
from rpe2d_bench.stages import TrainStage
from rpe2d_bench.storage.store import Store

NODE = 8  # GPUs of one machine, as most have; a training over more of them waits for the network


def with_gpus(plan: Plan, store: Store, say: Callable[[str], None] = lambda _: None) -> Plan:
    """The plan with a number of GPUs a training, chosen for what the store lacks where the file leaves it open.

    say: told once, before anything is measured.
    """
    if plan.experiment.resources.gpus_per_trial != "auto":
        return plan
    found: dict[int, float] = {}
    if len(counts := _counts(plan, store)) > 1:
        pace = pace_for(plan, store, say)
        found = {count: _seconds(_divided(plan, count), store, pace, count) for count in counts}
    chosen = min(found, key=lambda count: found[count], default=1)
    return dataclasses.replace(_divided(plan, chosen), gpus=found)


def _counts(plan: Plan, store: Store) -> list[int]:
    """That divide the GPUs and every batch, so that no GPU waits for another's larger part."""
    given = plan.experiment.resources.trials_in_parallel
    trained = [trial.stage for trial in plan.missing_trainings(store) if isinstance(trial.stage, TrainStage)]
    batches = [stage.recipe.batch_size for stage in trained if stage.recipe.steps]
    return [
        count
        for count in range(1, min(given, NODE) + 1 if batches else 2)
        if not any(number % count for number in (given, *batches))
    ]


def _divided(plan: Plan, count: int) -> Plan:
    """The plan with so many GPUs a training, on as many GPUs as before."""
    experiment = plan.experiment
    given = experiment.resources.trials_in_parallel
    resources = experiment.resources.model_copy(
        update={"trials_in_parallel": given // count, "gpus_per_trial": float(count)}
    )
    resolved = dataclasses.replace(plan.resolved, experiment=experiment.model_copy(update={"resources": resources}))
    return dataclasses.replace(plan, resolved=resolved)


def _seconds(plan: Plan, store: Store, pace: Pace, count: int) -> float:
    pace = dataclasses.replace(pace, devices=float(count))
    work = work_of(plan, store, lambda stage: seconds_of(stage, pace))
    return wall(work.jobs, work.slots).seconds
