"""The stages one after the other in this process: for debugging, and for machines without Ray."""

from __future__ import annotations

import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.ledger import Ledger
from rpe2d_bench.models.memory import keep_freed_memory
from rpe2d_bench.plan import Plan
from rpe2d_bench.stages import MeasureStage
from rpe2d_bench.surroundings import Surroundings


def run(plan: Plan, around: Surroundings, ledger: Ledger) -> None:
    """Finish the plan; a part that fails is recorded as failed and the rest goes on."""
    torch.set_num_threads(around.resources.cpus_per_trial)
    keep_freed_memory()
    floors = plan.distinct_floors()
    for trial in plan.trials:
        try:
            trial.stage.make(around)
        except UserError as error:
            ledger.training_failed(trial, str(error))
            continue
        ledger.trained(trial)
        for stage in trial.distinct():
            _measure(stage, around, ledger)
        while floors:
            _measure(floors.pop(0), around, ledger)
    for stage in floors:
        _measure(stage, around, ledger)


def _measure(stage: MeasureStage, around: Surroundings, ledger: Ledger) -> None:
    try:
        stage.make(around)
    except UserError as error:
        ledger.measuring_failed(stage, str(error))
    else:
        ledger.measured(stage)
