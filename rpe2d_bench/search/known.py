"""A search as the store knows it, for commands that start nothing, and what the rest of it will cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rpe2d_bench.plan.calibration import pace_of
from rpe2d_bench.plan.cost import flops_of_passes, flops_per_step
from rpe2d_bench.plan.pace import Pace, Stage, total
from rpe2d_bench.resolve.load import keep_methods
from rpe2d_bench.resolve.load import load as load_file
from rpe2d_bench.resolve.resolve import Resolved, resolve
from rpe2d_bench.search.state import Searching
from rpe2d_bench.search.trials import measures_of, passing_of
from rpe2d_bench.stages import DenoiseStage, SampleStage, TrainStage
from rpe2d_bench.storage.store import Store


@dataclass(frozen=True)
class Rest:
    """Cost of the trials that are missing; an autoencoder's share is left out."""

    train_flops: float
    sample_flops: float
    seconds: float  # wall, with all workers busy


def load(path: Path, overrides: Sequence[str], only: Sequence[str], store: Store) -> tuple[Resolved, Searching | None]:
    """An experiment file with the values that its search has chosen so far; None where it has no search."""
    asked = load_file(path, overrides, only)
    if asked.experiment.search is None:
        return asked, None
    whole = load_file(path, overrides) if only else asked  # a model is judged by the file's first method on it
    searching = Searching(whole.experiment, store, only)
    while searching.next() is not None:
        pass  # what is asked here is not done: it counts as missing
    found = searching.experiment
    return resolve(keep_methods(found, only) if only else found), searching


def cost_of_rest(searching: Searching, store: Store) -> Rest:
    """Cost of the trials that are missing; those that are not chosen yet count as the values written."""
    trainings: list[TrainStage] = []
    passing: list[SampleStage | DenoiseStage] = []
    search = searching.experiment.search
    assert search is not None
    for entry in searching.entries:
        if entry.outcome is not None or not entry.space:
            continue
        asked = [trial.measures for trial in entry.tried if trial.status == "asked"]
        unknown = search.trials - len(entry.tried)
        asked += [measures_of(searching.experiment, entry.section, entry.name, store)] * unknown
        for measures in asked:
            images = [passing_of(measure) for measure in measures]
            passing += [stage for stage in images if not store.has(stage.name, stage.key)]
            if entry.section == "models" and not store.has("train", images[0].train.key):
                trainings.append(images[0].train)
    resources = searching.experiment.resources
    training = sum(stage.recipe.steps * flops_per_step(stage) for stage in trainings)
    sampling = sum(flops_of_passes(stage) for stage in passing)
    stages: list[Stage] = [*trainings, *passing]  # one that is not chosen yet costs what the values as written cost
    pace = pace_of(stages, resources, store) if stages else Pace(resources.device)
    return Rest(training, sampling, total(stages, pace) / resources.trials_in_parallel)
