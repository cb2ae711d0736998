"""From an experiment to the stages that answer it, each once.

Longer than other files, because which stages there are is one decision, and what it rests on is read from top to end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rpe2d_bench import data
from rpe2d_bench.config.experiment import Experiment, Pair
from rpe2d_bench.data import Dataset
from rpe2d_bench.data.class_labels import ClassLabels, class_labels
from rpe2d_bench.plan.precision import Precisions, sampling_shape
from rpe2d_bench.plan.precision_notes import Choice, as_before_auto, decided
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.resolve import Resolved, ResolvedMethod, resolve
from rpe2d_bench.resolve.trainings import training
from rpe2d_bench.stages import MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.weights_file import WeightsFile, remark
from rpe2d_bench.storage.store import Store, content_key


@dataclass(frozen=True)
class Cell:
    """One method at one test resolution, for one train resolution and seed."""

    method: str
    model: str
    train_resolution: Resolution
    test_resolution: Resolution
    seed: int
    measure: MeasureStage
    coincides_with: tuple[str, ...] = ()  # methods that realise the same numbers here and share the images


@dataclass(frozen=True)
class Trial:
    """One trained model and the cells that are evaluated on it."""

    model: str
    train_resolution: Resolution  # of the pair that it belongs to
    seed: int
    stage: TrainStage
    cells: tuple[Cell, ...]  # none where it is only what another training starts from

    @property
    def label(self) -> str:
        return f"{self.model} {size(self.stage.resolution)} seed {self.seed}"

    def distinct(self) -> list[MeasureStage]:
        """The measurements of the trial, those that coincide once, in the order of the file."""
        return list({cell.measure.key: cell.measure for cell in self.cells}.values())


@dataclass(frozen=True)
class Floor:
    """Real images against other real images: what a perfect generator would score."""

    train_resolution: Resolution  # which global and local distances are relative to
    test_resolution: Resolution
    seed: int
    measure: MeasureStage
    kind: Literal["floor", "reconstruction"] = "floor"  # reconstruction: after passing through the autoencoder


@dataclass(frozen=True)
class Plan:
    """Everything an experiment needs, in the order in which it is best done."""

    resolved: Resolved
    overrides: tuple[str, ...]
    trials: tuple[Trial, ...]
    floors: tuple[Floor, ...]
    data: str = ""  # what was found, in one line
    labels: str = ""  # of which classes generated images are, in words
    choices: tuple[Choice, ...] = ()  # of arithmetics, with the reasons

    @property
    def experiment(self) -> Experiment:
        return self.resolved.experiment

    @property
    def run(self) -> str:
        """Name of the run: equal configurations give equal runs, whatever the resources."""
        # Defaults stay out, so that an option that is added later leaves the runs of before their names.
        experiment = as_before_auto(self.experiment)
        matters = experiment.model_dump(mode="json", exclude={"resources", "report"}, exclude_defaults=True)
        if (weights := self.experiment.evaluate.weights) is not None:
            from rpe2d_bench.metrics import net_version

            matters["evaluate"]["weights"] = net_version(self.experiment.evaluate.features, Path(weights))
        for name, entry in self.experiment.models.items():
            if entry.checkpoint is not None:
                matters["models"][name]["checkpoint"] = WeightsFile.at(entry.checkpoint.path).digest
        if matters.get("evaluate", {}).get("labels") == "balanced" and not any(
            floor.measure.reference.even for floor in self.floors
        ):
            del matters["evaluate"]["labels"]  # what an endless stream is anyway
            matters = {key: value for key, value in matters.items() if key != "evaluate" or value}
        return f"{self.experiment.name}-{content_key('run', 1, matters)[:8]}"

    def distinct_floors(self) -> list[MeasureStage]:
        """The floors' measurements, once each where train resolutions share them."""
        return list({floor.measure.key: floor.measure for floor in self.floors}.values())

    def measures(self) -> list[MeasureStage]:
        """Every distinct measurement, floors first."""
        stages = [*self.distinct_floors(), *(measure for trial in self.trials for measure in trial.distinct())]
        return list({stage.key: stage for stage in stages}.values())

    def remarks(self) -> dict[str, str]:
        """Model entry -> what must be known of the file that its weights come from; most have none."""
        found = {trial.model: remark(trial.stage) for trial in self.trials}
        return {model: text for model, text in found.items() if text is not None}

    def missing_trainings(self, store: Store) -> list[Trial]:
        return [trial for trial in self.trials if not store.has("train", trial.stage.key)]

    def missing_measures(self, store: Store) -> list[MeasureStage]:
        return [stage for stage in self.measures() if not store.has("measure", stage.key)]


def size(resolution: tuple[int, int]) -> str:
    """A resolution in words: 32px, or 32x64px with the height first."""
    return f"{Resolution(*resolution)}px"


def make_plan(
    asked: Resolved | Experiment, overrides: tuple[str, ...] = (), precisions: Precisions | None = None
) -> Plan:
    """Expand an experiment; raises UserError where a method cannot work at a resolution.

    precisions: decides what `precision: auto` means, with a store what is there already; the plan says it outright.
    """
    resolved = asked if isinstance(asked, Resolved) else resolve(asked)
    precisions = precisions or Precisions(None, resolved.experiment.resources)
    resolved = precisions.of_autoencoder(resolved, _trainings)
    experiment, dataset = resolved.experiment, resolved.dataset
    floors: list[Floor] = []
    trials: list[Trial] = []
    # The train resolution and the seed come outermost, so that the first partial table compares all methods.
    for pair in experiment.resolutions:
        for number, seed in enumerate(experiment.seeds):
            for model in experiment.compared:
                stage = training(resolved, model, pair.train, seed, precisions.of_training)
                cells = tuple(_cells(resolved, stage, model, pair, precisions))
                known = [trial.stage for trial in trials]
                trials += [t for t in _starts(experiment, model, stage) if t.stage not in known]
                trials.append(Trial(model, pair.train, seed, stage, cells))
            for resolution in pair.test:
                reference = _reference(resolved, pair.train, resolution)
                other = dataclasses.replace(reference, start=(1 + number) * reference.count)
                measure = MeasureStage(other, reference, _training_images(dataset, reference))
                floors.append(Floor(pair.train, resolution, seed, measure))
                if (latents := resolved.latents) is not None:
                    through = dataclasses.replace(measure, generated=dataclasses.replace(other, latents=latents))
                    floors.append(Floor(pair.train, resolution, seed, through, "reconstruction"))
    found = data.summary(dataset), _class_labels(resolved).words
    samples = [(c.method, c.measure.generated) for t in trials for c in t.cells]
    experiment = decided(experiment, [(trial.model, trial.stage) for trial in trials],
                         [(name, stage) for name, stage in samples if isinstance(stage, SampleStage)])  # fmt: skip
    resolved = dataclasses.replace(resolved, experiment=experiment)
    return Plan(resolved, overrides, tuple(trials), tuple(floors), *found, precisions.choices)


def _trainings(resolved: Resolved) -> Iterator[TrainStage]:
    """Every training that is compared, in the arithmetic that the file names, be it `auto`."""
    experiment = resolved.experiment
    for pair in experiment.resolutions:
        for seed in experiment.seeds:
            for model in experiment.compared:
                yield training(resolved, model, pair.train, seed)


def _starts(experiment: Experiment, model: str, stage: TrainStage) -> list[Trial]:
    """The trainings that a training starts from, the first of the chain first."""
    init = experiment.models[model].init
    if init is None or stage.start is None:
        return []
    start = Trial(init.model, stage.start.resolution, stage.seed, stage.start, ())
    return [*_starts(experiment, init.model, stage.start), start]


def _reference(resolved: Resolved, train: Resolution, resolution: Resolution) -> ReferenceStage:
    from rpe2d_bench.metrics import split

    evaluate, dataset = resolved.experiment.evaluate, resolved.dataset
    limited = dataset.size(evaluate.split) is not None
    return ReferenceStage(
        data=resolved.data,
        revision=dataset.revision,
        split=evaluate.split,
        resolution=resolution,
        start=0,
        count=evaluate.num_samples,
        metrics=split(evaluate.metrics, evaluate.features, evaluate.judge)[0],
        net=evaluate.features,
        weights=evaluate.weights,
        judge=evaluate.judge if "accuracy" in evaluate.metrics else None,
        train_resolution=train,
        classes=tuple(dataset.class_names),
        even=limited and evaluate.labels == "balanced",
    )


def _class_labels(resolved: Resolved) -> ClassLabels:
    evaluate = resolved.experiment.evaluate
    return class_labels(resolved.dataset, evaluate.split, evaluate.num_samples, evaluate.labels)


def _training_images(dataset: Dataset, reference: ReferenceStage) -> ReferenceStage | None:
    """Training images at a test resolution, where a metric asks for them."""
    from rpe2d_bench.metrics import METRICS

    if not any(METRICS[name].training for name in reference.metrics):
        return None
    size = dataset.size("train")
    count = reference.count if size is None else min(reference.count, size)
    return dataclasses.replace(reference, split="train", start=0, count=count, even=False)


def _cells(resolved: Resolved, stage: TrainStage, model: str, pair: Pair, precisions: Precisions) -> Iterator[Cell]:
    from rpe2d_bench.metrics import split

    experiment, evaluate = resolved.experiment, resolved.experiment.evaluate
    inside = split(evaluate.metrics, evaluate.features, evaluate.judge)[1]
    labels = _class_labels(resolved)
    chosen = [(name, method) for name, method in resolved.methods.items() if method.entry.model == model]
    most = max(stage.grid_of(resolution).tokens for resolution in pair.test)
    for resolution in pair.test:
        reference = _reference(resolved, pair.train, resolution)
        training_images = _training_images(resolved.dataset, reference)
        cells = []
        for name, method in chosen:
            generated = stage.resolution if method.entry.upscale else resolution
            sample = _sample_stage(stage, method, generated, reference.count)
            sample = dataclasses.replace(sample, labels=labels.kind, class_counts=labels.counts)
            measure = MeasureStage(sample, reference, training_images, inside, labels.kind)
            shape = sampling_shape(stage, most, experiment.resources, guided=method.sampler.guidance != 1.0)
            measure = precisions.of_sampling(measure, shape)
            cells.append(Cell(name, model, pair.train, resolution, stage.seed, measure))
        for cell in cells:
            same = tuple(c.method for c in cells if c.measure.key == cell.measure.key and c.method != cell.method)
            yield dataclasses.replace(cell, coincides_with=same)


def _sample_stage(stage: TrainStage, method: ResolvedMethod, resolution: Resolution, count: int) -> SampleStage:
    from rpe2d_bench.diffusion import times
    from rpe2d_bench.encodings import realised_digest
    from rpe2d_bench.models import preset
    from rpe2d_bench.sampling.loop import shift_of

    grid, options = stage.grid_of(resolution), preset(stage.model.preset)
    sampler = method.sampler.model_copy(update={"shift": shift_of(method.sampler, grid, stage.grid)})
    encoding = method.encoding.build(width=options.width, heads=options.heads)
    realised = realised_digest(encoding, grid, stage.grid, times(sampler.steps, float(sampler.shift))[:-1])
    if encoding.state_dict():
        # What a learned encoding realises is known only after training: its description stands for it.
        realised = content_key("encoding", 1, {"encoding": method.encoding.canonical, "grid": str(grid)})
    conditioning = method.entry.conditioning
    return SampleStage(stage, method.encoding, realised, sampler, resolution, count, stage.seed, conditioning)
