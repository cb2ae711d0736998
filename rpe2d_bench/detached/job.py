"""A job: the trainings and samplings of a plan as one JSON file, resolved and with their keys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from rpe2d_bench.config.experiment import Resources
    from rpe2d_bench.stages import SampleStage, TrainStage

FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What a bare machine does, in this order; a training that others start from comes before them."""

    run: str
    resources: Resources
    trainings: dict[str, TrainStage]  # by label
    samples: list[SampleStage]


def prepare(path: Path, overrides: Sequence[str], only: Sequence[str]) -> dict[str, Any]:
    """The job of an experiment file; raises UserError as `run` would. Needs an installation with every package."""
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.resolve.load import load_experiment
    from rpe2d_bench.stages import SampleStage

    plan = make_plan(load_experiment(path, overrides, only), tuple(overrides))
    samples: dict[str, Any] = {}
    for trial in plan.trials:
        trial.stage.check_inputs()
        for measure in trial.distinct():
            assert isinstance(measure.generated, SampleStage)
            for sample in (measure.generated.start, measure.generated):
                if sample is not None:
                    samples.setdefault(sample.key, _written(sample))
    return {
        "format": FORMAT,
        "run": plan.run,
        "resources": plan.experiment.resources.model_dump(mode="json"),
        "trainings": [{"label": trial.label, **_written(trial.stage)} for trial in plan.trials],
        "samples": list(samples.values()),
    }


def read(path: Path) -> dict[str, Any]:
    """A job file; raises UserError for anything else."""
    try:
        job: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such job; make it with: python -m rpe2d_bench.detached prepare") from None
    except ValueError as error:
        raise UserError(f"{path} is not a job ({error}); make it anew with `prepare`") from None
    if job.get("format") != FORMAT:
        raise UserError(f"{path} is a job of another version of this repository; make it anew with `prepare`")
    return job


def resolved(job: dict[str, Any], data: str | None = None, autoencoder: str | None = None) -> Job:
    """The stages of a job; data and autoencoder are where these lie on this machine, if elsewhere."""
    from rpe2d_bench.autoencoders import LatentSpace
    from rpe2d_bench.config.experiment import Model, Resources, Sampler, Train
    from rpe2d_bench.stages import SampleStage, TrainStage
    from rpe2d_bench.stages.denoiser import WeightsFile

    trained: dict[str, TrainStage] = {}
    labels: dict[str, TrainStage] = {}
    for written in job["trainings"]:
        fields = dict(written["stage"])
        fields["model"], fields["recipe"] = Model(**fields["model"]), Train(**fields["recipe"])
        fields["start"] = None if fields["start"] is None else trained[fields["start"]]
        fields["weights"] = None if fields["weights"] is None else WeightsFile(**fields["weights"])
        fields["mixed"] = tuple((tuple(resolution), share) for resolution, share in fields["mixed"])
        fields["resolution"] = tuple(fields["resolution"])
        if data is not None:
            fields["data"] = {**fields["data"], "path": data}
        if fields["latents"] is not None:
            spec = fields["latents"]["spec"] | ({} if autoencoder is None else {"path": autoencoder})
            fields["latents"] = LatentSpace(**{**fields["latents"], "spec": spec})
        trained[written["key"]] = labels[written["label"]] = _keyed(TrainStage(**fields), written["key"])
    samples: dict[str, SampleStage] = {}
    for written in job["samples"]:
        fields = dict(written["stage"])
        fields["train"], fields["sampler"] = trained[fields["train"]], Sampler(**fields["sampler"])
        fields["resolution"], fields["conditioning"] = tuple(fields["resolution"]), tuple(fields["conditioning"])
        counts = fields.get("class_counts")
        fields["class_counts"] = None if counts is None else tuple(counts)
        fields["start"] = samples.get(fields.get("start") or "")
        samples[written["key"]] = _keyed(SampleStage(**fields), written["key"])
    return Job(job["run"], Resources(**job["resources"]), labels, list(samples.values()))


def _keyed(stage: Any, key: str) -> Any:
    """The stage with the key it was given where it was planned: nothing here can change its place."""
    stage.__dict__["key"] = key
    return stage


def _written(stage: Any) -> dict[str, Any]:
    """A stage's key and fields; another stage is its key."""
    fields = {field.name: _plain(getattr(stage, field.name)) for field in dataclasses.fields(stage)}
    return {"key": stage.key, "stage": fields}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "key"):
        return value.key
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
