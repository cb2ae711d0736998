"""What a trial computes: the stages of an experiment that is cut down to one entry and to validation images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from rpe2d_bench.config.experiment import Experiment, MethodEntry, Pair, Report
from rpe2d_bench.errors import UserError
from rpe2d_bench.search.space import Section, Values
from rpe2d_bench.stages import DenoiseStage, Evaluation, SampleStage, read_result
from rpe2d_bench.storage.store import Store

SPLIT = "validation"
NOISE = 1_000_000  # added to the seed of the images' noise: what is chosen is not chosen for the comparison's noise
PLAIN = "(the model as trained)"  # judges a model that no method uses


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


def judge(experiment: Experiment, model: str) -> str:
    """The method by which a model is judged: the first in the file that uses it."""
    return next((name for name, method in experiment.methods.items() if method.model == model), PLAIN)


def reduced(experiment: Experiment, section: Section, name: str) -> Experiment:
    """The experiment of one trial, at the first pair's train resolution."""
    search = experiment.search
    assert search is not None
    method = name if section == "methods" else judge(experiment, name)
    model = experiment.methods[name].model if section == "methods" else name
    main = experiment.report.main_metric
    evaluate = {"split": SPLIT, "num_samples": search.num_samples, "metrics": (main,)}
    return experiment.model_copy(
        update={
            "search": None,
            "seeds": (search.seed,),
            "models": {link: experiment.models[link] for link in chain(experiment, model)},
            "methods": {method: experiment.methods.get(method) or MethodEntry(model=model)},
            "resolutions": (Pair(train=experiment.resolutions[0].train, test=search.resolutions),),
            "evaluate": experiment.evaluate.model_copy(update=evaluate),
            "report": Report(main_metric=main),
        }
    )


def chain(experiment: Experiment, model: str) -> list[str]:
    """A model and those that its training starts from."""
    found = [model]
    while (init := experiment.models[found[-1]].init) is not None and init.model not in found:
        found.append(init.model)
    return found


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


def metric_of(experiment: Experiment) -> tuple[str, bool]:
    """The recorded name of the main metric, and whether higher is better. Raises UserError where neither is."""
    from rpe2d_bench.metrics import METRICS, validate, value_name

    evaluate = experiment.evaluate
    (metric,) = validate([experiment.report.main_metric], evaluate.features, evaluate.judge, model=True)
    better = METRICS[metric].better
    if better == "neither":
        raise UserError(f"{metric!r} is neither better high nor better low; choose another report.main_metric")
    return value_name(metric, evaluate.features, evaluate.judge), better == "higher"


def objective_of(store: Store, measures: tuple[Evaluation, ...], metric: str) -> float | None:
    """Mean of the metric over finished measurements; None where it is not a number."""
    values = [read_result(store.folder(stage.name, stage.key))["values"][metric] for stage in measures]
    mean = sum(values) / len(values)
    return mean if math.isfinite(mean) else None
