"""From finished stages to records: the single writer of a run, in the process that drives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpe2d_bench.data import SPLITS
from rpe2d_bench.data.crops import canonical
from rpe2d_bench.metrics import METRICS
from rpe2d_bench.plan.expand import Cell, Floor, Plan, Trial
from rpe2d_bench.plan.precision_notes import notes
from rpe2d_bench.stages import DenoiseStage, Evaluation, ReferenceStage, TrainStage, read_result
from rpe2d_bench.stages.pipeline import PipelineStage
from rpe2d_bench.stages.weights_file import story_of
from rpe2d_bench.storage import records
from rpe2d_bench.storage.record_parts import (
    Artifacts,
    Configuration,
    DataCounts,
    MeasurementDetails,
    ResolvedConfig,
    SamplingDetails,
    SearchOutcome,
    TrainingDetails,
)
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store


class Recorder:
    """Appends a record for everything that a plan finished, once; listeners hear of each new one."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        written: dict[str, Any],
        device: str = "cpu",
        searched: dict[str, Any] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """say: told of lines that can't be read, and of results that are not those of their stages."""
        self._say = say
        self.plan, self.store = plan, store
        self.listeners: list[Callable[[Record], None]] = []
        dataset = plan.resolved.dataset
        self._common: dict[str, Any] = {
            "experiment": plan.experiment.name,
            "run": plan.run,
            "configuration": Configuration(
                config=ResolvedConfig(
                    experiment=plan.experiment,
                    search=SearchOutcome.model_validate(searched) if searched else None,
                    arithmetic=tuple(notes(plan.choices)) if plan.choices else (),
                ),
                written=written,
                overrides=list(plan.overrides),
                data=DataCounts(classes=dataset.num_classes, **{split: dataset.size(split) for split in SPLITS}),
                provenance=records.provenance(device),
            ),
        }
        self._known: dict[tuple[Any, ...], Record] = {}
        if (store.root / records.RECORDS_FILE).exists():
            records.set_aside(store.root, say)
            self._known = {r.identity: r for r in records.read(store.root) if r.run == plan.run}

    @property
    def records(self) -> list[Record]:
        """Everything known of this run, also from earlier attempts."""
        return list(self._known.values())

    def trained(self, trial: Trial) -> None:
        """A model is ready."""
        result = read_result(self.store.folder("train", trial.stage.key))
        folder = f"stages/train/{trial.stage.key}"
        files = Artifacts(curve=f"{folder}/curve.jsonl", checkpoint=f"{folder}/weights.safetensors")
        self._append(
            **self._of(trial),
            metrics=result["values"],
            timings=result["seconds"],
            training=_training(result["details"], trial.stage),
            artifacts=Artifacts() if isinstance(trial.stage, PipelineStage) else files,
        )

    def training_failed(self, trial: Trial, error: str) -> None:
        """A model could not be trained: it and its cells stay visible as failed."""
        self._append(**self._of(trial), status="failed", error=error)
        for cell in trial.cells:
            self._append(**self._of_cell(cell), status="failed", error=f"{trial.label}: {error}")

    def measured(self, stage: Evaluation) -> None:
        """A measurement is ready: every cell that shares it gets its record."""
        result = read_result(self.store.folder(stage.name, stage.key))
        if isinstance(stage, DenoiseStage):
            self._denoised(stage, result)
            return
        values = {
            "metrics": result["values"],
            "metric_versions": result["versions"],
            "timings": result["seconds"],
            "num_samples": stage.generated.count,
        }
        values["measurement"] = MeasurementDetails(**result["details"], data_revision=stage.reference.revision)
        for owner in self._owners(stage):
            if isinstance(owner, Floor):
                assert isinstance(stage.generated, ReferenceStage)
                preview = f"stages/reference/{stage.generated.key}/samples.npz"
                self._append(**self._of_floor(owner), **values, artifacts=Artifacts(samples=preview))
                continue
            sample = stage.generated
            assert not isinstance(sample, ReferenceStage)
            grid = sample.train.grid_of(sample.resolution)
            sampling = SamplingDetails(
                sampler=sample.sampler,
                conditioning=sample.conditioning,
                replacements=self.plan.experiment.methods[owner.method].replacements,
                trained_encoding=sample.train.encoding.written,
                crops=canonical(sample.train.crops),
                generated_resolution=sample.resolution,
                refined_from=None if sample.start is None else sample.begin,
                grid=(grid.height, grid.width),
                coincides_with=owner.coincides_with,
                realised=sample.realised,
                sample_key=sample.key,
                reference_key=stage.reference.key,
            )
            upscaled = sample.resolution != stage.reference.resolution
            artifacts = Artifacts(
                samples=f"stages/{f'measure/{stage.key}' if upscaled else f'sample/{sample.key}'}/samples.npz",
                observations=f"stages/measure/{stage.key}/observations.npz",
                reference_observations=f"stages/reference/{stage.reference.key}/observations.npz",
            )
            self._append(**self._of_cell(owner), **values, sampling=sampling, artifacts=artifacts)

    def _denoised(self, stage: DenoiseStage, result: dict[str, Any]) -> None:
        measurement = MeasurementDetails(
            **result["details"],
            resolution=stage.resolution,
            better={name: METRICS[name].better for name in result["values"]},
            data_revision=stage.train.revision,
        )
        for cell in self._owners(stage):
            assert isinstance(cell, Cell)
            sampling = SamplingDetails(
                conditioning=stage.conditioning,
                replacements=self.plan.experiment.methods[cell.method].replacements,
                trained_encoding=stage.train.encoding.written,
                crops=canonical(stage.train.crops),
                generated_resolution=stage.resolution,
                grid=(stage.grid.height, stage.grid.width),
                coincides_with=cell.coincides_with,
                realised=stage.realised,
            )
            self._append(
                **self._of_cell(cell),
                metrics=result["values"],
                metric_versions=result["versions"],
                timings=result["seconds"],
                num_samples=stage.count,
                measurement=measurement,
                sampling=sampling,
                artifacts=Artifacts(errors=f"stages/{stage.name}/{stage.key}/errors.npy"),
            )

    def measuring_failed(self, stage: Evaluation, error: str) -> None:
        """A measurement could not be made."""
        for owner in self._owners(stage):
            identity = self._of_floor(owner) if isinstance(owner, Floor) else self._of_cell(owner)
            self._append(**identity, status="failed", error=error)

    def _owners(self, stage: Evaluation) -> list[Cell | Floor]:
        cells: list[Cell | Floor] = [c for trial in self.plan.trials for c in trial.cells if c.measure.key == stage.key]
        return cells + [floor for floor in self.plan.floors if floor.measure.key == stage.key]

    def _of(self, trial: Trial) -> dict[str, Any]:
        return {
            "stage": "train",
            "key": trial.stage.key,
            "model": trial.model,
            "train_resolution": trial.train_resolution,
            "seed": trial.seed,
        }

    def _of_cell(self, cell: Cell) -> dict[str, Any]:
        return {
            "stage": cell.measure.name,
            "key": cell.measure.key,
            "model": cell.model,
            "method": cell.method,
            "train_resolution": cell.train_resolution,
            "test_resolution": cell.test_resolution,
            "seed": cell.seed,
        }

    def _of_floor(self, floor: Floor) -> dict[str, Any]:
        return {
            "stage": floor.kind,
            "key": floor.measure.key,
            "train_resolution": floor.train_resolution,
            "test_resolution": floor.test_resolution,
            "seed": floor.seed,
        }

    def _append(self, **fields: Any) -> None:
        record = Record(**self._common, **fields)
        known = self._known.get(record.identity)
        if known is not None and _outcome(known) == _outcome(record):
            return  # finished by an earlier attempt
        changed = "" if known is None else _changed(known, record)
        if changed:
            who = f"{record.subject}, seed {record.seed}"
            self._say(f"record of {who}: {changed} is not what its stage holds; written again")
        records.append(self.store.root, record)
        self._known[record.identity] = record
        for listener in self.listeners:
            listener(record)


def _training(measured: dict[str, Any], stage: TrainStage) -> TrainingDetails:
    """measured: what the stage has found out itself; the first ones counted no stages before them."""
    facts = {"flops": measured["steps"] * measured["flops_per_step"], **measured}
    return TrainingDetails(
        **{name: value for name, value in facts.items() if name != "tokens"},
        grid=(stage.grid.height, stage.grid.width),
        precision=stage.recipe.precision,
        data_revision=stage.revision,
        weights=None if stage.weights is None else story_of(stage.weights, stage),
    )


def _outcome(record: Record) -> tuple[Any, ...]:
    """What makes a result worth a new record; how it is to be reported counts, how it was scheduled does not."""
    return record.key, record.status, record.error, record.config.experiment.report, record.metrics, record.num_samples


def _changed(known: Record, record: Record) -> str:
    """The names of the numbers that differ between two records of one stage, where it was made both times."""
    if known.key != record.key or not known.status == record.status == "ok":
        return ""
    before, now = known.metrics, record.metrics
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(names + ["num_samples"] * (known.num_samples != record.num_samples))
