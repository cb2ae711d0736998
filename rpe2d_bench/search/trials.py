"""What a trial computes: the stages of an experiment that is cut down to one entry and to validation images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.resolve.search_space import Section, Values, reduced
from rpe2d_bench.stages import DenoiseStage, Evaluation, SampleStage, read_result
from rpe2d_bench.storage.store import Store

NOISE = 1_000_000  # added to the seed of the images' noise: what is chosen is not chosen for the comparison's noise


@dataclass
class Tried:
    """One trial of an entry."""

    values: Values
    measures: tuple[Evaluation, ...] = ()
    status: str = "asked"  # then ok, failed or stopped (by the scheduler)
    objective: float | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        found = {"values": self.values, "status": self.status, "objective": self.objective}
        return found | ({"error": self.error} if self.error else {})


def measures_of(
    experiment: Experiment, section: Section, name: str, store: Store | None = None
) -> tuple[Evaluation, ...]:
    """The measurements whose mean judges the entry as it stands. Raises UserError where it cannot work."""
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.plan.precision import Precisions

    trials = make_plan(reduced(experiment, section, name), (), Precisions(store, experiment.resources)).trials
    return tuple(_other_noise(cell.measure) for trial in trials for cell in trial.cells)


def passing_of(measure: Evaluation) -> SampleStage | DenoiseStage:
    """The stage of an evaluation of a method in which the model computes."""
    stage = measure if isinstance(measure, DenoiseStage) else measure.generated
    assert isinstance(stage, SampleStage | DenoiseStage)
    return stage


def _other_noise(measure: Evaluation) -> Evaluation:
    if isinstance(measure, DenoiseStage):
        return dataclasses.replace(measure, noise=NOISE + measure.noise)
    sample = measure.generated
    assert isinstance(sample, SampleStage)
    return dataclasses.replace(measure, generated=dataclasses.replace(sample, seed=NOISE + sample.seed))


def objective_of(store: Store, measures: tuple[Evaluation, ...], metric: str) -> float | None:
    """Mean of the metric over finished measurements; None where it is not a number."""
    values = [read_result(store.folder(stage.name, stage.key))["values"][metric] for stage in measures]
    mean = sum(values) / len(values)
    return mean if math.isfinite(mean) else None
