"""The Pace of this machine for some stages: what of them the store has finished here, else a short measurement.

The measurement is the real loop on noise at the stages' own shapes, with as many workers at once as a run has. It is
kept in the store by machine, so that the next plan measures nothing; a finished stage says better and comes first.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.data.absent import ABSENT
from rpe2d_bench.data.crops import ResizeAndCrop
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan import speed
from rpe2d_bench.plan.pace import (
    Pace,
    Stage,
    adaptive,
    how_passes,
    observe_name,
    pass_name,
    passes,
    render_name,
    shares,
    step_name,
)
from rpe2d_bench.plan.precision import Precisions, sampling_shape, training_shape
from rpe2d_bench.plan.speed_work import Shape
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages import DenoiseStage, MeasureStage, ReferenceStage, SampleStage, TrainStage, read_result
from rpe2d_bench.stages.pipeline import PipelineSampleStage, PipelineStage
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.store import Store

SIZES = 4  # of a model that its evaluations are measured at; between them seconds follow a power of the tokens
PYTHON = 0.0131  # speed.python_seconds on the machine of docs/performance.md
SEEN = 32  # images at most that are rendered, or seen by the metrics' nets, to be timed


def pace_of(
    stages: Iterable[Stage], resources: Resources, store: Store, say: Callable[[str], None] = lambda _: None
) -> Pace:
    """Seconds of what these stages do, whether they are in the store or not. say: told once, before measuring."""
    calibration = _Calibration(resources, store, say)
    distinct = list({stage.key: stage for stage in stages if not isinstance(stage, PipelineStage)}.values())
    finished = calibration.finished(distinct)
    missing = [stage for stage in distinct if not store.has(stage.name, stage.key)]
    trainings = [stage for stage in missing if isinstance(stage, TrainStage)]
    samples = [stage for stage in missing if isinstance(stage, SampleStage | DenoiseStage)]
    seconds = calibration.steps(trainings, finished) | calibration.evaluations(samples, finished)
    seconds |= calibration.images(missing, finished)
    return Pace(resources.device, seconds | finished, max(1.0, resources.gpus), calibration.python())


class _Calibration:
    def __init__(self, resources: Resources, store: Store, say: Callable[[str], None]) -> None:
        self._resources, self._store, self._say = resources, store, say
        self._precisions = Precisions(store, resources, self._printed)
        self._here = speed.present(resources.device)

    def finished(self, stages: list[Stage]) -> dict[str, float]:
        """Seconds by name, from stages that this machine has finished."""
        name = machine(self._resources.cpus_per_trial, self._resources.device)
        found: dict[str, list[float]] = defaultdict(list)
        for stage in stages:
            if not self._store.has(stage.name, stage.key):
                continue
            try:
                result = read_result(self._store.folder(stage.name, stage.key))
            except (OSError, ValueError):
                continue
            if result.get("machine") != name:
                continue
            for what, seconds in _learned_from(stage, result).items():
                found[what].append(seconds)
        return {what: statistics.median(seconds) for what, seconds in found.items()}

    def steps(self, trainings: list[TrainStage], known: dict[str, float]) -> dict[str, float]:
        """Training steps, at every resolution that a training draws from."""
        found: dict[str, float] = {}
        for stage in trainings:
            for resolution in shares(stage):
                name = step_name(stage, resolution)
                if name in known or name in found or not self._here:
                    continue
                at = dataclasses.replace(stage, resolution=resolution, mixed=(), start=None)
                self._keep(found, name, partial(self._step, at), together=True)
        return found

    def evaluations(self, samples: list[SampleStage | DenoiseStage], known: dict[str, float]) -> dict[str, float]:
        """Models that are sampled or denoise, at a few of their sizes; the others follow."""
        models: dict[tuple[str, str, int, str], dict[int, SampleStage | DenoiseStage]] = defaultdict(dict)
        for stage in samples:
            if isinstance(stage, PipelineSampleStage):
                continue  # known by what was sampled before, else assumed
            model = stage.train.model
            same = (model.preset, model.scan, stage.train.model_channels, how_passes(stage))
            models[same][stage.grid.tokens] = stage
        found: dict[str, float] = {}
        for sizes in models.values() if self._here else ():
            ordered, measured = sorted(sizes), {}
            for tokens in {ordered[round(k * (len(ordered) - 1) / (SIZES - 1))] for k in range(SIZES)}:
                name = _pass_name(sizes[tokens])
                if name not in known:
                    self._keep(found, name, partial(self._pass, sizes[tokens]), together=True)
                measured[tokens] = known.get(name) or found[name]
            for tokens, stage in sizes.items():
                found[_pass_name(stage)] = between(measured, tokens)
        return found

    def python(self) -> float:
        """How many times as long Python takes here as where the fixed costs of a run were timed."""
        found: dict[str, float] = {}
        self._keep(found, "python", speed.python_seconds)
        return found["python"] / PYTHON

    def images(self, stages: list[Stage], known: dict[str, float]) -> dict[str, float]:
        """Rendering, at the sizes that stages need; seeing, by every reference's metrics."""
        found: dict[str, float] = {}
        for stage in stages:
            if isinstance(stage, TrainStage):
                for resolution in pool_resolutions(stage):
                    work = partial(self._render, stage, "train", resolution)
                    self._keep(found, render_name(stage, resolution), work)
            if isinstance(stage, DenoiseStage):
                work = partial(self._render, stage.train, stage.split, stage.resolution)
                self._keep(found, render_name(stage.train, stage.resolution), work)
            reference = stage.reference if isinstance(stage, MeasureStage) else stage
            if isinstance(reference, ReferenceStage):
                work = partial(self._render, reference, reference.split, reference.resolution)
                self._keep(found, render_name(reference, reference.resolution), work)
                if (name := observe_name(reference)) not in known:
                    self._keep(found, name, partial(self._observe, reference))
        return found

    def _keep(self, found: dict[str, float], name: str, work: Callable[[], float], *, together: bool = False) -> None:
        """Put in `found` what was kept under the name, or is measured now; nothing where that can't be done here.

        together: as many workers as slots compute at once, so that their number belongs to the name.
        """
        if name in found:
            return
        kept = self._precisions.kept
        full = f"{name} x{self._resources.trials_in_parallel}" if together else name
        seconds = kept.get(full)
        if seconds is None:
            self._printed("measuring how fast this machine works")
            try:
                seconds = work()
            except (UserError, OSError):
                return  # data or weights that are not there are the run's complaint
            kept.keep(full, seconds)
        found[name] = seconds

    def _printed(self, sentence: str) -> None:
        self._say(sentence)
        self._say = lambda _: None

    def _step(self, stage: TrainStage) -> float:
        shape, resources = training_shape(stage), self._resources
        whole = dataclasses.replace(shape, batch=stage.recipe.batch_size)
        block = self._block(shape, stage.recipe.precision)
        threads, workers = resources.cpus_per_trial, resources.trials_in_parallel
        return speed.step_seconds(whole, stage.recipe, block, resources.device, threads, workers)

    def _pass(self, stage: SampleStage | DenoiseStage) -> float:
        resources, tokens, precision = self._resources, stage.grid.tokens, stage.precision
        guided = isinstance(stage, SampleStage) and stage.sampler.guidance != 1.0
        shape = sampling_shape(stage.train, tokens, resources, guided=guided)
        threads, workers = resources.cpus_per_trial, resources.trials_in_parallel
        return speed.pass_seconds(shape, precision, resources.device, threads, workers)

    def _block(self, shape: Shape, precision: str) -> float:
        """Seconds of a block for one image."""
        compared = self._precisions.compare(shape)
        assert compared is not None
        return (compared.bf16 if precision == "bf16" else compared.float32) / max(compared.rows, 1e-9)

    def _render(self, stage: TrainStage | ReferenceStage, split: str, resolution: Resolution) -> float:
        if stage.revision == ABSENT:
            raise UserError("the images are not here")
        dataset = stage.data.build()
        work = lambda count: dataset.images(split, np.arange(count), resolution)  # type: ignore[arg-type]  # noqa: E731
        return speed.seconds_of_call(work, SEEN, self._resources.cpus_per_trial)

    def _observe(self, reference: ReferenceStage) -> float:
        if reference.revision == ABSENT:
            raise UserError("the images are not here")
        dataset = reference.data.build()
        images = dataset.images(reference.split, np.arange(2 * SEEN), reference.resolution)  # type: ignore[arg-type]

        def work(count: int) -> None:
            dataclasses.replace(reference, count=count).observe([images[:count]], self._resources.device)

        return speed.seconds_of_call(work, 2 * SEEN, self._resources.cpus_per_trial)


def pool_resolutions(stage: TrainStage) -> list[Resolution]:
    """Sizes at which a training's images are rendered: its own, and those that crops are cut from; of weights that are
    taken as they are none."""
    if not stage.recipe.steps:
        return []
    sizes = list(shares(stage))
    if stage.latents is None and isinstance(stage.crops, ResizeAndCrop) and stage.crops.source == "native":
        zoom = stage.crops.max_zoom
        sizes += [Resolution(round(height * zoom), round(width * zoom)) for height, width in sizes]
    return sizes


def between(measured: dict[int, float], tokens: int) -> float:
    """Seconds at a number of tokens: measured, or on the power law through the two nearest."""
    if tokens in measured or len(measured) == 1:
        return measured.get(tokens) or next(iter(measured.values()))
    sizes = sorted(measured, key=lambda size: abs(math.log(size / tokens)))[:2]
    low, high = sorted(sizes)
    power = math.log(measured[high] / measured[low]) / math.log(high / low)
    return float(measured[low] * (tokens / low) ** power)


def _pass_name(stage: SampleStage | DenoiseStage) -> str:
    return pass_name(stage.train, stage.grid.tokens, how_passes(stage))


def _learned_from(stage: Stage, result: dict[str, Any]) -> dict[str, float]:
    """What a finished stage says about the seconds of its kind."""
    seconds: Any = result.get("seconds")
    if isinstance(stage, TrainStage):
        steps = stage.recipe.steps
        return {step_name(stage, stage.resolution): seconds["train"] / steps} if steps and not stage.mixed else {}
    if isinstance(stage, SampleStage):
        counted = stage.train.latents is None and not adaptive(stage)
        return {_pass_name(stage): seconds / stage.count / passes(stage)} if counted else {}
    if isinstance(stage, DenoiseStage):
        return {}  # with the images' rendering
    if isinstance(stage, MeasureStage):
        seen = isinstance(stage.generated, SampleStage) and not stage.inside
        return {observe_name(stage.reference): seconds["measure"] / stage.generated.count} if seen else {}
    return {}
