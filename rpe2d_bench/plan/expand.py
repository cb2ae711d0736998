"""From an experiment to the stages that answer it, each once.

Longer than other files, because which stages there are is one decision, and what it rests on is read from top to end.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rpe2d_bench import data
from rpe2d_bench.config.experiment import Experiment, Pair
from rpe2d_bench.data import Dataset
from rpe2d_bench.data.class_labels import ClassLabels, class_labels
from rpe2d_bench.metrics.statistics_file import StatisticsFile
from rpe2d_bench.plan.precision import Precisions, sampling_shape
from rpe2d_bench.plan.precision_notes import Choice, as_before_auto, decided
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.pipelines import labels_of
from rpe2d_bench.resolve.resolve import Resolved, ResolvedMethod, resolve
from rpe2d_bench.resolve.trainings import training
from rpe2d_bench.sampling.pipeline import asks_for
from rpe2d_bench.stages import DenoiseStage, Evaluation, MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.pipeline import PipelineSampleStage, PipelineStage, realised_by
from rpe2d_bench.stages.weights_file import WeightsFile, remark
from rpe2d_bench.storage.store import Store, content_key

if TYPE_CHECKING:
    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.encodings.interface import Grid
    from rpe2d_bench.metrics import Asked


@dataclass(frozen=True)
class Cell:
    """One method at one test resolution, for one train resolution and seed; measured and denoised are two of them."""

    method: str
    model: str
    train_resolution: Resolution
    test_resolution: Resolution
    seed: int
    measure: Evaluation
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

    def distinct(self) -> list[Evaluation]:
        """The measurements of the trial, those that coincide once, in the order of the file."""
        return list({cell.measure.key: cell.measure for cell in self.cells}.values())


@dataclass(frozen=True)
class Floor:
    """Real images against other real images: what a perfect generator would score; or a ruler beside that."""

    train_resolution: Resolution  # which global and local distances are relative to
    test_resolution: Resolution
    seed: int
    measure: MeasureStage
    # reconstruction: after passing through the autoencoder; enlarged: drawn at the train resolution, then resized, as a
    # perfect model's samples would be; noise: with noise of 8 grey levels
    kind: Literal["floor", "reconstruction", "enlarged", "noise"] = "floor"


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
    gpus: Mapping[int, float] = field(default_factory=dict)  # of a training, that it was chosen from -> seconds

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
        if self.experiment.evaluate.reference is not None:
            matters["evaluate"]["reference"] = [
                floor.measure.reference.statistics.digest
                for floor in self.floors
                if floor.measure.reference.statistics is not None
            ]
        for name, entry in self.experiment.models.items():
            if entry.pipeline is not None:
                folder = self.resolved.models[name].pipeline
                assert folder is not None
                matters["models"][name]["pipeline"]["path"] = folder.digest
            if entry.checkpoint is not None:
                matters["models"][name]["checkpoint"] = WeightsFile.of(entry.checkpoint).digest
        if self.resolved.prompts is not None:
            matters["prompts"] = self.resolved.prompts.digest
        if matters.get("evaluate", {}).get("labels") == "balanced" and not any(
            floor.measure.reference.even for floor in self.floors
        ):
            del matters["evaluate"]["labels"]  # what an endless stream is anyway
            matters = {key: value for key, value in matters.items() if key != "evaluate" or value}
        return f"{self.experiment.name}-{content_key('run', 1, matters)[:8]}"

    def distinct_floors(self) -> list[MeasureStage]:
        """The floors' measurements, once each where train resolutions share them."""
        return list({floor.measure.key: floor.measure for floor in self.floors}.values())

    def measures(self) -> list[Evaluation]:
        """Every distinct measurement, floors first."""
        stages = [*self.distinct_floors(), *(measure for trial in self.trials for measure in trial.distinct())]
        return list({stage.key: stage for stage in stages}.values())

    def remarks(self) -> dict[str, str]:
        """Model entry -> what must be known of the file that its weights come from; most have none."""
        found = {trial.model: remark(trial.stage) for trial in self.trials}
        return {model: text for model, text in found.items() if text is not None}

    def missing_trainings(self, store: Store) -> list[Trial]:
        return [trial for trial in self.trials if not store.has("train", trial.stage.key)]

    def missing_measures(self, store: Store) -> list[Evaluation]:
        return [stage for stage in self.measures() if not store.has(stage.name, stage.key)]


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
            for resolution in pair.test if _asked(experiment).sampled else ():
                reference = _reference(resolved, pair.train, resolution)
                other = dataclasses.replace(reference, start=(1 + number) * reference.count)
                measure = MeasureStage(other, reference, _training_images(dataset, reference))
                floors.append(Floor(pair.train, resolution, seed, measure))
                if number == 0:
                    floors += _rulers(pair.train, resolution, seed, measure)
                if (latents := resolved.latents) is not None:
                    through = dataclasses.replace(measure, generated=dataclasses.replace(other, latents=latents))
                    floors.append(Floor(pair.train, resolution, seed, through, "reconstruction"))
    labels = _class_labels(resolved).words if _asked(experiment).sampled else ""
    found = data.summary(dataset), labels
    measured = [(c.method, c.measure) for t in trials for c in t.cells]
    samples = [(name, stage.generated) for name, stage in measured if isinstance(stage, MeasureStage)]
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


def _rulers(train: Resolution, resolution: Resolution, seed: int, floor: MeasureStage) -> Iterator[Floor]:
    """The floor's images, changed in ways that a reader knows, once for all seeds."""
    real = floor.generated
    assert isinstance(real, ReferenceStage)
    for kind in ("enlarged", "noise"):
        if kind == "noise" or resolution != train:
            changed = dataclasses.replace(real, ruler=kind)
            yield Floor(train, resolution, seed, dataclasses.replace(floor, generated=changed), kind)


def _asked(experiment: Experiment) -> Asked:
    from rpe2d_bench.metrics import split

    evaluate = experiment.evaluate
    return split(evaluate.metrics, evaluate.features, evaluate.judge)


def _reference(resolved: Resolved, train: Resolution, resolution: Resolution) -> ReferenceStage:
    evaluate, dataset = resolved.experiment.evaluate, resolved.dataset
    limited = dataset.size(evaluate.split) is not None
    file = None if evaluate.reference is None else evaluate.reference.of(resolution)
    return ReferenceStage(
        data=resolved.data,
        revision=dataset.revision,
        split=evaluate.split,
        resolution=resolution,
        start=0,
        count=evaluate.num_samples,
        metrics=_asked(resolved.experiment).images,
        net=evaluate.features,
        weights=evaluate.weights,
        judge=evaluate.judge if "accuracy" in evaluate.metrics else None,
        train_resolution=train,
        classes=tuple(dataset.class_names),
        even=limited and evaluate.labels == "balanced",
        statistics=None if file is None else StatisticsFile(file),
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
    asked = _asked(resolved.experiment)
    chosen = {name: method for name, method in resolved.methods.items() if method.entry.model == model}
    for resolution in pair.test:
        found: list[tuple[str, Evaluation]] = []
        if asked.sampled:
            found += _measured(resolved, stage, chosen, pair, resolution, precisions)
        if asked.denoising:
            found += _denoised(resolved, stage, chosen, resolution)
        for name, measure in found:
            same = tuple(other for other, also in found if also.key == measure.key and other != name)
            yield Cell(name, model, pair.train, resolution, stage.seed, measure, same)


def _measured(
    resolved: Resolved,
    stage: TrainStage,
    methods: dict[str, ResolvedMethod],
    pair: Pair,
    resolution: Resolution,
    precisions: Precisions,
) -> Iterator[tuple[str, MeasureStage]]:
    labels, inside = _class_labels(resolved), _asked(resolved.experiment).inside
    most = max(stage.grid_of(test).tokens for test in pair.test)
    reference = _reference(resolved, pair.train, resolution)
    training_images = _training_images(resolved.dataset, reference)
    for name, method in methods.items():
        generated = stage.resolution if method.entry.upscale else resolution
        if isinstance(stage, PipelineStage):
            piped = _pipeline_samples(resolved, stage, method, generated, reference.count)
            measure = MeasureStage(piped, reference, training_images, (), labels.kind)
            yield name, measure
            continue
        (height, width), (tall, wide) = stage.resolution, resolution
        pad = method.entry.upscale == "padded" and height * wide != width * tall
        sample = _sample_stage(stage, method, generated, reference.count)
        sample = dataclasses.replace(sample, labels=labels.kind, class_counts=labels.counts)
        if method.entry.refine is not None and resolution != stage.resolution:
            sample = dataclasses.replace(_refined(sample, method, resolution, method.entry.refine), pad=pad)
        measure = MeasureStage(
            sample, reference, training_images, inside, labels.kind, pad=pad and sample.resolution != resolution
        )
        resources, guided = resolved.experiment.resources, method.sampler.guidance != 1.0
        yield name, precisions.of_sampling(measure, sampling_shape(stage, most, resources, guided=guided))


def _denoised(
    resolved: Resolved, stage: TrainStage, methods: dict[str, ResolvedMethod], resolution: Resolution
) -> Iterator[tuple[str, DenoiseStage]]:
    """A method that resizes its samples denoises nothing at another size than its model's."""
    from rpe2d_bench.metrics.denoising_error import IMAGES, TIMES

    split = resolved.experiment.evaluate.split
    size = resolved.dataset.size(split)
    count = IMAGES if size is None else min(IMAGES, size)
    for name, method in methods.items():
        entry, encoding = method.entry, method.encoding
        if not entry.upscale or resolution == stage.resolution:
            realised = _realised(stage, encoding, resolution, TIMES)
            yield name, DenoiseStage(stage, encoding, realised, resolution, split, count, entry.conditioning)


def _sample_stage(
    stage: TrainStage, method: ResolvedMethod, resolution: Resolution, count: int, begin: float = 1.0
) -> SampleStage:
    from rpe2d_bench.diffusion import SAMPLERS, shift_at

    shift = shift_at(method.sampler.shift, stage.grid_of(resolution).tokens, stage.grid.tokens)
    sampler, encoding = method.sampler.model_copy(update={"shift": shift}), method.encoding
    asked = SAMPLERS[sampler.kind].asked(sampler.steps, float(sampler.shift), begin)
    realised = _realised(stage, encoding, resolution, asked)
    conditioning = method.entry.conditioning
    return SampleStage(stage, encoding, realised, sampler, resolution, count, stage.seed, conditioning)


def _pipeline_samples(
    resolved: Resolved, stage: PipelineStage, method: ResolvedMethod, resolution: Resolution, count: int
) -> PipelineSampleStage:
    labels, texts = _class_labels(resolved), asks_for(stage.pipeline) == "prompt"
    return PipelineSampleStage(
        stage,
        method.encoding,
        realised_by(stage, method.encoding, stage.grid_of(resolution)),
        method.sampler,
        resolution,
        count,
        stage.seed,
        labels=labels.kind,
        class_counts=labels.counts,
        prompts=resolved.prompts if texts else None,
        classes=() if texts else labels_of(resolved, method.entry.model),
    )


def _realised(stage: TrainStage, spec: EncodingSpec, resolution: Resolution, ts: Sequence[float]) -> str:
    """What stands for the numbers that a method's encoding realises at a resolution and these times."""
    canonical = json.dumps(spec.canonical, sort_keys=True)
    rules = (spec.cls, *(type(value) for value in spec.options.values()))
    grid = stage.grid_of(resolution)
    return _digest(_Numbers(spec, canonical, rules, stage.model.preset, grid, stage.grid, tuple(ts)))


@dataclass(frozen=True)
class _Numbers:
    """What decides the numbers that an encoding realises: seeds, and models of one encoding, share them."""

    spec: EncodingSpec = field(compare=False)
    canonical: str
    rules: tuple[object, ...]
    preset: str
    grid: Grid
    train_grid: Grid
    ts: tuple[float, ...]


@lru_cache(maxsize=4096)
def _digest(asked: _Numbers) -> str:
    """Evaluating every encoding at every time is nine tenths of a large plan."""
    from rpe2d_bench.encodings import realised_digest
    from rpe2d_bench.models import preset

    options = preset(asked.preset)
    encoding = asked.spec.build(width=options.width, heads=options.heads)
    if encoding.state_dict():
        # What a learned encoding realises is known only after training: its description stands for it.
        return content_key("encoding", 1, {"encoding": asked.spec.canonical, "grid": str(asked.grid)})
    return realised_digest(encoding, asked.grid, asked.train_grid, asked.ts)


def _refined(small: SampleStage, method: ResolvedMethod, resolution: Resolution, begin: float) -> SampleStage:
    """Images of the train resolution, enlarged, renoised and denoised at another one."""
    target = _sample_stage(small.train, method, resolution, small.count, begin)
    return dataclasses.replace(target, labels=small.labels, class_counts=small.class_counts, start=small, begin=begin)
