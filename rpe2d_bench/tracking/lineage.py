"""What a run came from: the data set with its revision, and the trained model that a cell samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import naming

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

MODEL = "rpe2d.model_id"  # tag of a training's run: the model in MLflow's list of models
DIGEST_LENGTH = 36  # characters that MLflow allows

Key = tuple[str, str, str]  # model, train resolution, seed


@dataclass(frozen=True)
class Trained:
    """Where MLflow shows a trained model."""

    run_id: str
    model_id: str | None
    checkpoint: str  # below the store; '' when unknown


def key_of(record: Record) -> Key:
    return str(record.model), naming.size(record.train_resolution), str(record.seed)


def known_models(runs: list[Run]) -> dict[Key, Trained]:
    """Trainings that an earlier attempt logged."""
    found = {}
    for run in runs:
        tags = run.data.tags
        if tags.get("stage") == "train" and tags.get("status") == "ok":
            key = (tags.get("model", ""), tags.get("train_resolution", ""), tags.get("seed", ""))
            found[key] = Trained(run.info.run_id, tags.get(MODEL), run.data.params.get("checkpoint", ""))
    return found


def log_model(client: MlflowClient, experiment: str, run_id: str, record: Record) -> Trained:
    """Enter the result of a training in MLflow's list of models; the weights stay where they are, in the store."""
    from mlflow.entities import LoggedModelOutput

    checkpoint = record.artifacts.checkpoint or ""
    made = client.create_logged_model(
        experiment,
        name=_allowed(naming.name(record)),
        source_run_id=run_id,
        tags={name: value for name, value in naming.tags(record).items() if not name.startswith("rpe2d.")},
        params=naming.parameters(record),
        model_type="diffusion transformer",
    )
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, record.training.steps if record.training else 0)])
    client.set_tag(run_id, MODEL, made.model_id)
    return Trained(run_id, made.model_id, checkpoint)


def log_inputs(client: MlflowClient, run_id: str, record: Record, trained: Trained | None) -> None:
    """The data set, and the model where one was sampled, in one transaction."""
    from mlflow.entities import LoggedModelInput

    models = [LoggedModelInput(trained.model_id)] if trained and trained.model_id and record.of_method else []
    data = _data(record)
    if data or models:
        client.log_inputs(run_id, [data] if data else None, models or None)


def metric_of_model(record: Record, trained: Trained | None) -> dict[str, str]:
    """Fields by which a training's numbers also stand beside its model, with the data they were obtained on."""
    if record.stage != "train" or trained is None or trained.model_id is None:
        return {}
    shown = _data(record).dataset
    return {"model_id": trained.model_id, "dataset_name": shown.name, "dataset_digest": shown.digest}


def _data(record: Record) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    options = record.config.experiment.data
    text = json.dumps(options, sort_keys=True, default=str)
    revision = record.data_revision or naming.identity(text)[:8]
    digest = revision if len(revision) <= DIGEST_LENGTH else naming.identity(revision)
    profile = json.dumps({"revision": revision, "options": options}, default=str)
    shown = Dataset(str(options.get("name", "data")), digest, "code", text, profile=profile)
    context = "training" if record.stage == "train" else "reference"
    return DatasetInput(shown, [InputTag("mlflow.data.context", context)])


def note(record: Record, trained: Trained | None, experiment: str) -> str:
    """What the run's page says in words, with the way to the trained model."""
    parts = [f"**Failed:** {record.error}"] if record.error else []
    where = record.artifacts.checkpoint if record.stage == "train" else trained and trained.checkpoint
    weights = f"Weights: `{where}` in the store." if where else ""
    if record.of_method and trained:
        parts.append(f"Trained model: [{record.model}](#/experiments/{experiment}/runs/{trained.run_id}). {weights}")
    elif weights:
        parts.append(weights)
    if same := record.coincides_with:
        parts.append(f"Coincides with {', '.join(same)} at this size: sampled once.")
    return "\n\n".join(parts)


def forget(client: MlflowClient, run: Run) -> None:
    """Delete a run, and the model that came from it."""
    if model_id := run.data.tags.get(MODEL):
        client.delete_logged_model(model_id)
    client.delete_run(run.info.run_id)


def _allowed(name: str) -> str:
    """MLflow's models may not have these in their names."""
    return "".join("_" if letter in "/:.%\"'" else letter for letter in name)
