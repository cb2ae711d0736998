"""Which arithmetic a stage computes in where the file says `precision: auto`: decided once, when a plan is made.

In this order: what the store already has, finished or begun, in either arithmetic is taken as it is; else bfloat16
where this machine computes the model's own blocks at least 1.2 times as fast in it, else float32. What was decided
stands in the stage, and so in content keys and records, as if the file had said it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.models import preset
from rpe2d_bench.plan.precision_notes import GAIN, Choice, Precision, Work
from rpe2d_bench.resolve.resolve import Resolved
from rpe2d_bench.stages import MeasureStage, SampleStage, TrainStage
from rpe2d_bench.stages.checkpoint import CHECKPOINT
from rpe2d_bench.storage.machine import Kept, machine
from rpe2d_bench.storage.resumable_array import DONE
from rpe2d_bench.storage.store import Store

if TYPE_CHECKING:
    from rpe2d_bench.plan.speed import Comparison
    from rpe2d_bench.plan.speed_work import Shape

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
NOWHERE, BEGUN, FINISHED = 0, 1, 2


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

    def of_autoencoder(self, resolved: Resolved, trainings: Callable[[Resolved], Iterable[TrainStage]]) -> Resolved:
        """The experiment with its autoencoder in an arithmetic; trainings: of an experiment whose file decides all."""
        from rpe2d_bench import autoencoders

        written, space = resolved.experiment.autoencoder, resolved.latents
        if written is None or space is None or not autoencoders.takes_precision(space.options):
            return resolved
        forms = {
            p: resolved.with_autoencoder(written | {"precision": p}, autoencoders.computed_in(space, p))
            for p in PRECISIONS
        }
        states = {p: self._begun(form, trainings) for p, form in forms.items()}
        return forms[self._chosen("autoencoder", written["kind"], None, states)]

    def _begun(self, resolved: Resolved, trainings: Callable[[Resolved], Iterable[TrainStage]]) -> int:
        """How far the store is with any of the trainings, in whatever they are computed."""
        if self._store is None:
            return NOWHERE
        keys = [_chain_with(stage, p).key for stage in trainings(resolved) for p in PRECISIONS]
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
        from rpe2d_bench.plan import speed

        if not speed.present(self._resources.device):
            return None
        if self.kept.get(f"block {shape}") is None:
            with self.kept.alone():
                if self.kept.get(f"block {shape}") is None:
                    self.kept.keep(f"block {shape}", self._measured(shape))
        known = self.kept.get(f"block {shape}")
        return speed.Comparison(*known)

    def _measured(self, shape: Shape | None) -> list[float]:
        from rpe2d_bench.plan import speed

        self._say("measuring how fast this machine computes the model's blocks")
        self._say = lambda _: None
        device, threads = self._resources.device, self._resources.cpus_per_trial
        if shape is None:
            found = speed.compare_convolutions(device, threads)
        else:
            found = speed.compare_blocks(shape, device, threads)
        return [found.float32, found.bf16, found.rows]

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
    from rpe2d_bench.plan.speed_work import Shape

    batch = -(-stage.recipe.batch_size // stage.recipe.accumulate)
    return Shape(preset(stage.model.preset), stage.grid.tokens, stage.model_channels, batch, True)


def sampling_shape(stage: TrainStage, tokens: int, resources: Resources, *, guided: bool) -> Shape:
    """What a sampling of a trained model computes with, at a number of tokens."""
    from rpe2d_bench.plan.speed_work import Shape

    batch = max(1, round(resources.sample_batch * stage.grid.tokens / tokens)) * (2 if guided else 1)
    return Shape(preset(stage.model.preset), tokens, stage.model_channels, batch, False)


def _with(stage: TrainStage, precision: Precision) -> TrainStage:
    return dataclasses.replace(stage, recipe=stage.recipe.model_copy(update={"precision": precision}))


def _chain_with(stage: TrainStage, precision: Precision) -> TrainStage:
    """A training and those that it starts from, where the file leaves their arithmetic open."""
    start = None if stage.start is None else _chain_with(stage.start, precision)
    stage = dataclasses.replace(stage, start=start)
    return _with(stage, precision) if stage.recipe.precision == "auto" else stage


def _sampled(stage: SampleStage, precision: Precision) -> SampleStage:
    sampler = stage.sampler.model_copy(update={"precision": precision})
    start = None if stage.start is None else _sampled(stage.start, precision)
    return dataclasses.replace(stage, sampler=sampler, start=start)
