"""From a plan to the jobs that are missing in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rpe2d_bench.plan.expand import Plan, Trial, size
from rpe2d_bench.plan.order import Job, Part
from rpe2d_bench.plan.pace import Stage
from rpe2d_bench.stages import DenoiseStage, Evaluation, MeasureStage, SampleStage, TrainStage
from rpe2d_bench.storage.store import Store


@dataclass(frozen=True)
class Work:
    """What a run has to do, once each, in the order of the plan; keys are those of the stages."""

    jobs: list[Job]
    trainings: dict[str, list[Trial]] = field(default_factory=dict)  # equal trainings of several entries are one job
    measures: dict[str, Evaluation] = field(default_factory=dict)


def work_of(plan: Plan, store: Store, seconds: Callable[[Stage], float]) -> Work:
    """What a store lacks of a plan; seconds: what a stage is expected to take."""
    work, seeds = Work([]), list(plan.experiment.seeds)
    missing = {stage.key for stage in plan.missing_measures(store)}
    untrained = {trial.stage.key for trial in plan.missing_trainings(store)}
    for trial in plan.trials:
        stage = trial.stage
        if stage.key in untrained:
            if stage.key not in work.trainings:
                after = None if stage.start is None else stage.start.key
                part = Part(stage.key, kind_of(stage), seconds(stage))
                label = f"train {trial.label}"
                work.jobs.append(Job(stage.key, label, "training", seeds.index(trial.seed), after, (part,)))
            work.trainings.setdefault(stage.key, []).append(trial)
        for cell in trial.cells:
            measure = cell.measure
            if measure.key in missing and measure.key not in work.measures:
                label = f"{cell.method} {size(cell.test_resolution)} seed {cell.seed}"
                parts = _parts(measure, store, seconds)
                work.jobs.append(Job(measure.key, label, "cell", seeds.index(cell.seed), stage.key, parts))
                work.measures[measure.key] = measure
    for floor in plan.floors:
        measure = floor.measure
        if measure.key in missing and measure.key not in work.measures:
            label = f"real images {size(floor.test_resolution)} seed {floor.seed}"
            parts = _parts(measure, store, seconds)
            work.jobs.append(Job(measure.key, label, "floor", seeds.index(floor.seed), None, parts))
            work.measures[measure.key] = measure
    return work


def _parts(measure: Evaluation, store: Store, seconds: Callable[[Stage], float]) -> tuple[Part, ...]:
    absent = [stage for stage in measure.sources if not store.has(stage.name, stage.key)]
    parts = [Part(stage.key, kind_of(stage), seconds(stage)) for stage in absent]
    return (*parts, Part(measure.key, kind_of(measure), seconds(measure)))


def needs(stage: Stage) -> list[Stage]:
    """What has to be in the store before a stage is made."""
    inputs: list[Stage | None] = []
    if isinstance(stage, TrainStage):
        inputs = [stage.start]
    elif isinstance(stage, DenoiseStage):
        inputs = [stage.train]
    elif isinstance(stage, SampleStage):
        inputs = [stage.train, stage.start]
    elif isinstance(stage, MeasureStage):
        inputs = [*stage.sources]
    return [each for each in inputs if each is not None]


def kind_of(stage: Stage) -> str:
    """What has about the same pace: a path, the more alike the longer the common prefix."""
    if isinstance(stage, TrainStage):
        return "compute/train"
    if isinstance(stage, SampleStage | DenoiseStage):
        return f"compute/{stage.name}/{size(stage.resolution)}"
    return "data/features" if stage.name == "reference" else "data/scores"
