"""From an experiment to the stages that answer it, each once.

Longer than other files, because which stages there are is one decision, and what it rests on is read from top to end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rpe2d_bench.autoencoders import LatentSpace
from rpe2d_bench.config.experiment import Checkpoint, Experiment, MethodEntry, Pair, Sampler
from rpe2d_bench.data.class_labels import ClassLabels, class_labels
from rpe2d_bench.plan.precision import Precisions, sampling_shape
from rpe2d_bench.plan.precision_notes import Choice, as_before_auto, resolved
from rpe2d_bench.stages import DenoiseStage, Evaluation, MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.weights_file import WeightsFile, remark
from rpe2d_bench.storage.store import Store, content_key

if TYPE_CHECKING:
    from rpe2d_bench.metrics import Asked

Resolution = tuple[int, int]


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

    experiment: Experiment
    overrides: tuple[str, ...]
    trials: tuple[Trial, ...]
    floors: tuple[Floor, ...]
    data: str = ""  # what was found, in one line
    labels: str = ""  # of which classes generated images are, in words
    choices: tuple[Choice, ...] = ()  # of arithmetics, with the reasons

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


def size(resolution: Resolution) -> str:
    """A resolution in words: 32px, or 32x64px with the height first."""
    height, width = resolution
    return f"{height}px" if height == width else f"{height}x{width}px"


def make_plan(experiment: Experiment, overrides: tuple[str, ...] = (), precisions: Precisions | None = None) -> Plan:
    """Expand an experiment; raises UserError where a method cannot work at a resolution.

    precisions: decides what `precision: auto` means, with a store what is there already; the plan says it outright.
    """
    from rpe2d_bench import data

    precisions = precisions or Precisions(None, experiment.resources)

    dataset = data.build(experiment.data)
    experiment = precisions.of_autoencoder(experiment, lambda form: _trainings(form, dataset))
    latents = latent_space(experiment)
    floors: list[Floor] = []
    trials: list[Trial] = []
    # The train resolution and the seed come outermost, so that the first partial table compares all methods.
    for pair in experiment.resolutions:
        for number, seed in enumerate(experiment.seeds):
            for model in experiment.compared:
                stage = _train_stage(experiment, dataset, model, pair.train, seed, precisions)
                cells = tuple(_cells(experiment, dataset, stage, model, pair, precisions))
                known = [trial.stage for trial in trials]
                trials += [t for t in _starts(experiment, dataset, model, stage) if t.stage not in known]
                trials.append(Trial(model, pair.train, seed, stage, cells))
            for resolution in pair.test if _asked(experiment).sampled else ():
                reference = _reference(experiment, dataset, pair.train, resolution)
                other = dataclasses.replace(reference, start=(1 + number) * reference.count)
                training = _training(dataset, reference)
                measure = MeasureStage(other, reference, training)
                floors.append(Floor(pair.train, resolution, seed, measure))
                if number == 0:
                    floors += _rulers(pair.train, resolution, seed, measure)
                if latents is not None:
                    through = dataclasses.replace(measure, generated=dataclasses.replace(other, latents=latents))
                    floors.append(Floor(pair.train, resolution, seed, through, "reconstruction"))
    labels = _class_labels(experiment, dataset).words if _asked(experiment).sampled else ""
    found = data.summary(dataset), labels
    measured = [(c.method, c.measure) for t in trials for c in t.cells]
    samples = [(name, stage.generated) for name, stage in measured if isinstance(stage, MeasureStage)]
    experiment = resolved(experiment, [(trial.model, trial.stage) for trial in trials],
                          [(name, stage) for name, stage in samples if isinstance(stage, SampleStage)])  # fmt: skip
    return Plan(experiment, overrides, tuple(trials), tuple(floors), *found, precisions.choices)


def _trainings(experiment: Experiment, dataset: Any) -> Iterator[TrainStage]:
    """Every training that is compared, in the arithmetic that the file names, be it `auto`."""
    for pair in experiment.resolutions:
        for seed in experiment.seeds:
            for model in experiment.compared:
                yield _train_stage(experiment, dataset, model, pair.train, seed, None)


def _train_stage(
    experiment: Experiment, dataset: Any, model: str, resolution: Resolution, seed: int, precisions: Precisions | None
) -> TrainStage:
    from rpe2d_bench.data.crops import build_crops

    entry = experiment.models[model]
    crops = build_crops(entry.crops)
    resolution = entry.resolution or resolution
    start = None
    if entry.init is not None:
        start = _train_stage(
            experiment, dataset, entry.init.model, entry.init.resolution or resolution, seed, precisions
        )
    stage = TrainStage(
        data=experiment.data,
        revision=dataset.revision,
        channels=dataset.channels,
        num_classes=dataset.num_classes,
        model=experiment.model_of(model),
        recipe=experiment.train_of(model),
        encoding=entry.encoding,
        crops={"kind": crops.kind, **dataclasses.asdict(crops)},
        resolution=resolution,
        seed=seed,
        start=start,
        weights=_weights(entry.checkpoint),
        mixed=tuple((part.resolution, part.share) for part in entry.mixed),
        latents=latent_space(experiment),
    )
    return stage if precisions is None else precisions.of_training(stage)


def _weights(checkpoint: Checkpoint | None) -> WeightsFile | None:
    return None if checkpoint is None else WeightsFile.at(checkpoint.path, checkpoint.trust)


def trainings_of(experiment: Experiment, model: str) -> list[TrainStage]:
    """The trainings of a model entry with the first seed, one for every train resolution."""
    from rpe2d_bench import data

    dataset, seed = data.build(experiment.data), experiment.seeds[0]
    return [_train_stage(experiment, dataset, model, pair.train, seed, None) for pair in experiment.resolutions]


def latent_space(experiment: Experiment) -> LatentSpace | None:
    """Where the models train, if not on pixels."""
    from rpe2d_bench import autoencoders

    return None if experiment.autoencoder is None else autoencoders.describe(experiment.autoencoder)


def _starts(experiment: Experiment, dataset: Any, model: str, stage: TrainStage) -> list[Trial]:
    """The trainings that a training starts from, the first of the chain first."""
    init = experiment.models[model].init
    if init is None or stage.start is None:
        return []
    start = Trial(init.model, stage.start.resolution, stage.seed, stage.start, ())
    return [*_starts(experiment, dataset, init.model, stage.start), start]


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


def _reference(experiment: Experiment, dataset: Any, train: Resolution, resolution: Resolution) -> ReferenceStage:
    evaluate = experiment.evaluate
    limited = dataset.size(evaluate.split) is not None
    return ReferenceStage(
        data=experiment.data,
        revision=dataset.revision,
        split=evaluate.split,
        resolution=resolution,
        start=0,
        count=evaluate.num_samples,
        metrics=_asked(experiment).images,
        net=evaluate.features,
        weights=evaluate.weights,
        judge=evaluate.judge if "accuracy" in evaluate.metrics else None,
        train_resolution=train,
        classes=tuple(dataset.class_names),
        even=limited and evaluate.labels == "balanced",
    )


def _class_labels(experiment: Experiment, dataset: Any) -> ClassLabels:
    evaluate = experiment.evaluate
    return class_labels(dataset, evaluate.split, evaluate.num_samples, evaluate.labels)


def _training(dataset: Any, reference: ReferenceStage) -> ReferenceStage | None:
    """Training images at a test resolution, where a metric asks for them."""
    from rpe2d_bench.metrics import METRICS

    if not any(METRICS[name].training for name in reference.metrics):
        return None
    size = dataset.size("train")
    count = reference.count if size is None else min(reference.count, size)
    return dataclasses.replace(reference, split="train", start=0, count=count, even=False)


def _cells(
    experiment: Experiment, dataset: Any, stage: TrainStage, model: str, pair: Pair, precisions: Precisions
) -> Iterator[Cell]:
    asked, chosen = _asked(experiment), {n: m for n, m in experiment.methods.items() if m.model == model}
    for resolution in pair.test:
        found: list[tuple[str, Evaluation]] = []
        if asked.sampled:
            found += _measured(experiment, dataset, stage, chosen, pair, resolution, precisions)
        if asked.denoising:
            found += _denoised(experiment, dataset, stage, chosen, resolution)
        for name, measure in found:
            same = tuple(other for other, also in found if also.key == measure.key and other != name)
            yield Cell(name, model, pair.train, resolution, stage.seed, measure, same)


def _measured(
    experiment: Experiment,
    dataset: Any,
    stage: TrainStage,
    methods: dict[str, MethodEntry],
    pair: Pair,
    resolution: Resolution,
    precisions: Precisions,
) -> Iterator[tuple[str, MeasureStage]]:
    labels, inside = _class_labels(experiment, dataset), _asked(experiment).inside
    most = max(stage.grid_of(test).tokens for test in pair.test)
    reference = _reference(experiment, dataset, pair.train, resolution)
    training = _training(dataset, reference)
    for name, method in methods.items():
        generated = stage.resolution if method.upscale else resolution
        sampler = experiment.sampler_of(name)
        sample = _sample_stage(stage, method.replacements, sampler, generated, reference.count, method.conditioning)
        sample = dataclasses.replace(sample, labels=labels.kind, class_counts=labels.counts)
        if method.refine is not None and resolution != stage.resolution:
            sample = _refined(sample, resolution, sampler, method.refine)
        measure = MeasureStage(sample, reference, training, inside, labels.kind)
        shape = sampling_shape(stage, most, experiment.resources, guided=sampler.guidance != 1.0)
        yield name, precisions.of_sampling(measure, shape)


def _denoised(
    experiment: Experiment, dataset: Any, stage: TrainStage, methods: dict[str, MethodEntry], resolution: Resolution
) -> Iterator[tuple[str, DenoiseStage]]:
    """A method that resizes its samples denoises nothing at another size than its model's."""
    from rpe2d_bench.metrics.denoising_error import IMAGES, TIMES

    split = experiment.evaluate.split
    size = dataset.size(split)
    count = IMAGES if size is None else min(IMAGES, size)
    for name, method in methods.items():
        if not method.upscale or resolution == stage.resolution:
            realised = _realised(stage, method.replacements, resolution, TIMES)
            yield (
                name,
                DenoiseStage(stage, method.replacements, realised, resolution, split, count, method.conditioning),
            )


def _sample_stage(
    stage: TrainStage,
    replacements: dict[str, Any],
    sampler: Sampler,
    resolution: Resolution,
    count: int,
    conditioning: tuple[float, float, float],
    begin: float = 1.0,
) -> SampleStage:
    from rpe2d_bench.diffusion import times
    from rpe2d_bench.sampling.loop import shift_of

    sampler = sampler.model_copy(update={"shift": shift_of(sampler, stage.grid_of(resolution), stage.grid)})
    realised = _realised(stage, replacements, resolution, times(sampler.steps, float(sampler.shift), begin)[:-1])
    return SampleStage(stage, replacements, realised, sampler, resolution, count, stage.seed, conditioning)


def _realised(stage: TrainStage, replacements: dict[str, Any], resolution: Resolution, ts: Sequence[float]) -> str:
    """What stands for the numbers that a method's encoding realises at a resolution and these times."""
    from rpe2d_bench.encodings import build, realised_digest, replaced
    from rpe2d_bench.encodings.canonical import canonical
    from rpe2d_bench.models import preset

    grid, spec, options = stage.grid_of(resolution), replaced(stage.encoding, replacements), preset(stage.model.preset)
    encoding = build(spec, width=options.width, heads=options.heads)
    if encoding.state_dict():
        # What a learned encoding realises is known only after training: its description stands for it.
        return content_key("encoding", 1, {"encoding": canonical(spec), "grid": str(grid)})
    return realised_digest(encoding, grid, stage.grid, ts)


def _refined(small: SampleStage, resolution: Resolution, sampler: Sampler, begin: float) -> SampleStage:
    """Images of the train resolution, enlarged, renoised and denoised at another one."""
    target = _sample_stage(small.train, small.replacements, sampler, resolution, small.count, small.conditioning, begin)
    return dataclasses.replace(target, labels=small.labels, class_counts=small.class_counts, start=small, begin=begin)
