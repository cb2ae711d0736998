"""Which arithmetic a stage computes in where the file says `precision: auto`: decided once, when a plan is made.

In this order: what the store already has, finished or begun, in either arithmetic is taken as it is; else bfloat16
where this machine computes the model's own blocks at least 1.2 times as fast in it, else float32. What was decided
stands in the stage, and so in content keys and records, as if the file had said it.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from rpe2d_bench.config import Experiment, Resources
from rpe2d_bench.machine import Kept, machine
from rpe2d_bench.models import preset
from rpe2d_bench.stages import MeasureStage, SampleStage, TrainStage
from rpe2d_bench.stages.parts import DONE
from rpe2d_bench.stages.train import CHECKPOINT
from rpe2d_bench.store import Store

if TYPE_CHECKING:
    from rpe2d_bench.speed import Comparison, Shape

Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
WORDS = {"float32": "float32", "bf16": "bfloat16"}
COLUMNS = 64  # of a line of a note: a terminal's 80 without the plan's margin
GAIN = 1.2  # times as fast, from which bfloat16 is worth its rounding
NOWHERE, BEGUN, FINISHED = 0, 1, 2
Work = Literal["training", "sampling", "autoencoder"]


@dataclass(frozen=True)
class Choice:
    """What some stages compute in, and why."""

    work: Work
    preset: str
    precision: str
    ratio: float | None  # times as fast as float32 bfloat16 is here; None where nothing was measured
    reason: Literal["measured", "written", "store", "assumed"]


class Precisions:
    """Decides for the stages of a plan; `choices` are its reasons, in the order in which they came up."""

    def __init__(self, store: Store | None, resources: Resources, say: Callable[[str], None] = lambda _: None) -> None:
        """say: told once, before something is measured."""
        self._store, self._resources, self._say = store, resources, say
        self._kept: Kept | None = None
        self._choices: Counter[Choice] = Counter()

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(self._choices)

    def of_autoencoder(
        self, experiment: Experiment, trainings: Callable[[Experiment], Iterable[TrainStage]]
    ) -> Experiment:
        """The experiment with its autoencoder in an arithmetic; trainings: of an experiment whose file decides all."""
        from rpe2d_bench import autoencoders

        spec = experiment.autoencoder
        if spec is None or not autoencoders.takes_precision(spec):
            return experiment
        forms = {p: experiment.model_copy(update={"autoencoder": {**spec, "precision": p}}) for p in PRECISIONS}
        states = {p: self._begun(form, trainings) for p, form in forms.items()}
        return forms[self._chosen("autoencoder", spec["kind"], None, states)]

    def _begun(self, experiment: Experiment, trainings: Callable[[Experiment], Iterable[TrainStage]]) -> int:
        """How far the store is with any of the trainings, in whatever they are computed."""
        if self._store is None:
            return NOWHERE
        keys = [_chain_with(stage, p).key for stage in trainings(experiment) for p in PRECISIONS]
        return max((self._state("train", key) for key in keys), default=NOWHERE)

    def of_training(self, stage: TrainStage) -> TrainStage:
        """The stage in an arithmetic; as it is where the file names one."""
        written, shape = stage.recipe.precision, training_shape(stage)
        if written != "auto":
            missing = self._state("train", stage.key) != FINISHED
            self._note(Choice("training", stage.model.preset, written, self._ratio(shape, written, missing), "written"))
            return stage
        forms = {p: _with(stage, p) for p in PRECISIONS}
        states = {p: self._state("train", form.key) for p, form in forms.items()}
        return forms[self._chosen("training", stage.model.preset, shape, states)]

    def of_sampling(self, measure: MeasureStage, shape: Shape) -> MeasureStage:
        """The measurement with its samples in an arithmetic; shape: where the sampling of its method takes longest."""
        sample = measure.generated
        assert isinstance(sample, SampleStage)
        written, name = sample.sampler.precision, sample.train.model.preset
        if written != "auto":
            missing = self._state("sample", sample.key) != FINISHED
            self._note(Choice("sampling", name, written, self._ratio(shape, written, missing), "written"))
            return measure
        forms = {p: dataclasses.replace(measure, generated=_sampled(sample, p)) for p in PRECISIONS}
        states = {
            p: max(self._state("sample", form.generated.key), self._state("measure", form.key))
            for p, form in forms.items()
        }
        return forms[self._chosen("sampling", name, shape, states)]

    def compare(self, shape: Shape | None) -> Comparison | None:
        """One block in both arithmetics, measured once by machine and shape; None where the device is not here.

        Without a shape: the convolutions of an autoencoder.
        """
        from rpe2d_bench import speed

        device = self._resources.device
        if not speed.present(device):
            return None
        known = self.kept.get(f"block {shape}")
        if known is None:
            self._say("measuring how fast this machine computes the model's blocks")
            self._say = lambda _: None
            threads = self._resources.cpus_per_trial
            if shape is None:
                found = speed.compare_convolutions(device, threads)
            else:
                found = speed.compare_blocks(shape, device, threads)
            known = [found.float32, found.bf16, found.rows]
            self.kept.keep(f"block {shape}", known)
        return speed.Comparison(*known)

    @property
    def kept(self) -> Kept:
        """Numbers about this machine."""
        if self._kept is None:
            name = machine(self._resources.cpus_per_trial, self._resources.device)
            self._kept = Kept(None if self._store is None else self._store.root, name)
        return self._kept

    def _chosen(self, work: Work, name: str, shape: Shape | None, states: Mapping[Precision, int]) -> Precision:
        best = max(states.values())
        there = [p for p in PRECISIONS if states[p] == best]
        if len(there) == 1:
            self._note(Choice(work, name, there[0], self._known_ratio(shape), "store"))
            return there[0]
        found = self.compare(shape)
        if found is None:  # planned on another machine: what nearly every GPU of the last years has
            chosen: Precision = "bf16" if self._resources.device == "cuda" else "float32"
            self._note(Choice(work, name, chosen, None, "assumed"))
            return chosen
        chosen = faster(found.ratio)
        self._note(Choice(work, name, chosen, found.ratio, "measured"))
        return chosen

    def _ratio(self, shape: Shape, written: str, missing: bool) -> float | None:
        """Of an arithmetic that the file names: asked only where it could be a bad choice."""
        if written != "bf16" or not missing:
            return self._known_ratio(shape)
        found = self.compare(shape)
        return None if found is None else found.ratio

    def _known_ratio(self, shape: Shape | None) -> float | None:
        known = self.kept.get(f"block {shape}")
        return None if known is None else known[0] / known[1]

    def _state(self, stage: str, key: str) -> int:
        if self._store is None:
            return NOWHERE
        if self._store.has(stage, key):
            return FINISHED
        partial = self._store.partial(stage, key)
        return BEGUN if (partial / CHECKPOINT).exists() or (partial / DONE).exists() else NOWHERE

    def _note(self, choice: Choice) -> None:
        self._choices[choice] += 1


def faster(ratio: float) -> Precision:
    """What a measured ratio decides."""
    return "bf16" if ratio >= GAIN else "float32"


def training_shape(stage: TrainStage) -> Shape:
    """What a training computes with, at its train resolution."""
    from rpe2d_bench.speed import Shape

    batch = -(-stage.recipe.batch_size // stage.recipe.accumulate)
    return Shape(preset(stage.model.preset), stage.grid.tokens, stage.model_channels, batch, True)


def sampling_shape(stage: TrainStage, tokens: int, resources: Resources, *, guided: bool) -> Shape:
    """What a sampling of a trained model computes with, at a number of tokens."""
    from rpe2d_bench.speed import Shape

    batch = max(1, round(resources.sample_batch * stage.grid.tokens / tokens)) * (2 if guided else 1)
    return Shape(preset(stage.model.preset), tokens, stage.model_channels, batch, False)


def as_before_auto(experiment: Experiment) -> Experiment:
    """float32 as the default that it was once, so that runs keep the names that they had then."""
    train, sampler = experiment.train, experiment.evaluate.sampler
    if train.precision == "float32":
        train = train.model_copy(update={"precision": "auto"})
    if sampler.precision == "float32":
        sampler = sampler.model_copy(update={"precision": "auto"})
    autoencoder = experiment.autoencoder
    if autoencoder is not None and autoencoder.get("precision") == "float32":
        autoencoder = {name: value for name, value in autoencoder.items() if name != "precision"}
    evaluate = experiment.evaluate.model_copy(update={"sampler": sampler})
    return experiment.model_copy(update={"train": train, "evaluate": evaluate, "autoencoder": autoencoder})


def resolved(
    experiment: Experiment, trained: Iterable[tuple[str, TrainStage]], sampled: Iterable[tuple[str, SampleStage]]
) -> Experiment:
    """The experiment with what its stages compute in instead of `auto`: by entries of models, and of methods.

    An entry that computes otherwise than most says so; where stages of one entry differ (taken from a store), their
    records do.
    """
    update: dict[str, Any] = {}
    models = _by_entry(
        (name, stage.recipe.precision) for name, stage in trained if experiment.train_of(name).precision == "auto"
    )
    methods = _by_entry(
        (name, stage.sampler.precision) for name, stage in sampled if experiment.sampler_of(name).precision == "auto"
    )
    if experiment.train.precision == "auto":
        common = _commonest(models, "float32")
        update["train"] = experiment.train.model_copy(update={"precision": common})
    else:
        common = experiment.train.precision
    update["models"] = {
        name: _entry(entry, "train", models.get(name, common), common) for name, entry in experiment.models.items()
    }
    sampler = experiment.evaluate.sampler
    usual = _commonest(methods, "float32") if sampler.precision == "auto" else sampler.precision
    sampler = sampler.model_copy(update={"precision": usual})
    update["evaluate"] = experiment.evaluate.model_copy(update={"sampler": sampler})
    update["methods"] = {
        name: _entry(entry, "sampler", methods.get(name, usual), usual) for name, entry in experiment.methods.items()
    }
    return experiment.model_copy(update=update)


def notes(choices: Iterable[Choice]) -> list[str]:
    """What each kind of work computes in, and why, in lines of at most 64 columns."""
    groups: dict[tuple[str, str, str], list[Choice]] = {}
    for choice in choices:
        groups.setdefault((choice.work, choice.precision, choice.reason), []).append(choice)
    lines = []
    for (work, precision, reason), members in groups.items():
        alone = sum(key[0] == work for key in groups) == 1
        label = work if alone else f"{work} {members[0].preset}{' and others' if len(_presets(members)) > 1 else ''}"
        ratios = [choice.ratio for choice in members if choice.ratio is not None]
        lines += wrap(f"{label}: {_reason(precision, reason, ratios)}", COLUMNS, subsequent_indent="  ")
    if os.environ.get("RAY_ADDRESS") and any(choice.reason == "measured" for choice in choices):
        lines.append("measured on this machine, which decides for the whole cluster")
    return lines


def warnings(choices: Iterable[Choice]) -> list[str]:
    """A sentence for bfloat16 that the file asks for where it is slow; at most 64 columns."""
    slow = [c for c in choices if c.reason == "written" and c.precision == "bf16" and c.ratio and c.ratio < 1]
    worst: dict[str, float] = {}
    for choice in slow:
        worst[choice.work] = min(worst.get(choice.work, 1.0), choice.ratio or 1.0)
    return [f"{work}: bfloat16 is {_times(1 / ratio)} times as slow as float32 here" for work, ratio in worst.items()]


def _reason(precision: str, reason: str, ratios: list[float]) -> str:
    word = WORDS[precision]
    if reason == "written":
        return f"{word}, as written"
    if reason == "store":
        return f"{word}, as in the store"
    if reason == "assumed":
        return f"{word}, not measured: the device is not here"
    fast, slow = min(ratios), max(ratios)
    if precision == "bf16":
        return f"{word}, {_range(fast, slow)} times as fast as float32 here"
    if slow < 1 / GAIN:
        return f"{word}; bfloat16 is {_range(1 / slow, 1 / fast)} times as slow here"
    return f"{word}; bfloat16 is only {_range(fast, slow)} times as fast here"


def _range(low: float, high: float) -> str:
    return _times(low) if _times(low) == _times(high) else f"{_times(low)} to {_times(high)}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{min(ratio, 9999):.0f}"


def _presets(choices: list[Choice]) -> set[str]:
    return {choice.preset for choice in choices}


def _with(stage: TrainStage, precision: Precision) -> TrainStage:
    return dataclasses.replace(stage, recipe=stage.recipe.model_copy(update={"precision": precision}))


def _chain_with(stage: TrainStage, precision: Precision) -> TrainStage:
    """A training and those that it starts from, where the file leaves their arithmetic open."""
    start = None if stage.start is None else _chain_with(stage.start, precision)
    stage = dataclasses.replace(stage, start=start)
    return _with(stage, precision) if stage.recipe.precision == "auto" else stage


def _sampled(stage: SampleStage, precision: Precision) -> SampleStage:
    return dataclasses.replace(stage, sampler=stage.sampler.model_copy(update={"precision": precision}))


def _by_entry(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The commonest value of each entry."""
    counts: dict[str, Counter[str]] = {}
    for name, precision in found:
        counts.setdefault(name, Counter())[precision] += 1
    return {name: count.most_common(1)[0][0] for name, count in counts.items()}


def _commonest(entries: dict[str, str], otherwise: str) -> str:
    return Counter(entries.values()).most_common(1)[0][0] if entries else otherwise


def _entry(entry: Any, part: str, precision: str, common: str) -> Any:
    own = getattr(entry, part)
    if own.get("precision", "auto") != "auto" or (precision == common and "precision" not in own):
        return entry
    return entry.model_copy(update={part: {**own, "precision": precision}})
