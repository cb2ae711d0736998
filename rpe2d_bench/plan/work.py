"""From a plan to the jobs that are missing in the store.

A measurement is one job with all that it needs, unless its samples are many: then shares of them, and what the nets see
of each, are jobs of their own, and so are shares of the real images. With an accelerator few samples are one such job,
and real images another: scores hold no accelerator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.plan.expand import Plan, Trial, size
from rpe2d_bench.plan.order import Job, Part
from rpe2d_bench.plan.pace import LOADING, Stage, pool_together_seconds, together_seconds
from rpe2d_bench.stages import DenoiseStage, Evaluation, MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.pool import PoolStage, pools_of
from rpe2d_bench.stages.share import Share
from rpe2d_bench.storage.resumable_array import DONE
from rpe2d_bench.storage.store import Store


@dataclass(frozen=True)
class Work:
    """What a run has to do, once each, in the order of the plan; keys are those of the stages."""

    jobs: list[Job]
    trainings: dict[str, list[Trial]] = field(default_factory=dict)  # equal trainings of several entries are one job
    measures: dict[str, Evaluation] = field(default_factory=dict)
    others: dict[str, Stage] = field(default_factory=dict)  # shares, and what is put together of them for others
    slots: int = 1  # GPUs, where there are any, or workers, that jobs share

    def stage(self, key: str) -> Stage:
        """What a job makes last."""
        if key in self.trainings:
            return self.trainings[key][0].stage
        return self.measures.get(key) or self.others[key]


def work_of(plan: Plan, store: Store, seconds: Callable[[Stage], float]) -> Work:
    """What a store lacks of a plan; seconds: what a stage is expected to take."""
    return _Jobs(plan, store, seconds).work


class _Jobs:
    """The jobs of a plan, gathered."""

    def __init__(self, plan: Plan, store: Store, seconds: Callable[[Stage], float]) -> None:
        resources = plan.experiment.resources
        self._store, self._resources, self._seconds = store, resources, seconds
        self._wide = max(1, int(resources.gpus))  # slots of a training
        self._accelerated = resources.device != "cpu"
        self.work = Work([], slots=resources.trials_in_parallel * self._wide)
        seeds = list(plan.experiment.seeds)
        missing = {stage.key for stage in plan.missing_measures(store)}
        untrained = {trial.stage.key for trial in plan.missing_trainings(store)}
        self._images = (plan.resolved.dataset.size("train") or 0) if untrained else 0
        for trial in plan.trials:
            group = seeds.index(trial.seed)
            if trial.stage.key in untrained:
                self._train(trial, group)
            for cell in trial.cells:
                if cell.measure.key in missing:
                    label = f"{cell.method} {size(cell.test_resolution)} seed {cell.seed}"
                    self._measure(cell.measure, label, "cell", seeds.index(cell.seed), (trial.stage.key,))
        for floor in plan.floors:
            if floor.measure.key in missing:
                label = f"real images {size(floor.test_resolution)} seed {floor.seed}"
                self._measure(floor.measure, label, "floor", seeds.index(floor.seed), ())

    def _train(self, trial: Trial, group: int) -> None:
        stage = trial.stage
        if stage.key not in self.work.trainings:
            after = () if stage.start is None else (stage.start.key,)
            pools = [pool for pool in pools_of(stage, self._images) if not pool.is_there(self._store)]
            before = [self._pooled(pool, group) for pool in pools]
            after = (*after, *chain.from_iterable(before))
            small = [pool for pool, keys in zip(pools, before, strict=True) if not keys]
            parts = (*map(self._part, small), self._part(stage))
            label = f"train {trial.label}"
            self.work.jobs.append(Job(stage.key, label, "training", group, after, parts, self._wide))
        self.work.trainings.setdefault(stage.key, []).append(trial)

    def _pooled(self, pool: PoolStage, group: int) -> list[str]:
        """Keys of the jobs that leave a pool which is made in shares; none of a small one, which a training makes."""
        if not pool.in_shares(self._store, self._resources):
            return []
        shares = pool.missing(self._store, self._resources)
        label = f"training images {size(pool.resolution)}{' for crops' if pool.crops else ''}"
        slots = 0 if pool.on_cpu and self._accelerated else 1
        for share in shares:
            self._add(share, f"{label}, {_range(share)}", "pool", group, (), (self._part(share),), slots)
        before = [share.key for share in shares]
        if self._store.mirror is not None:  # each machine that trains puts them together
            return before
        part = Part(pool.key, "data/pool", pool_together_seconds(pool))
        self._add(pool, label, "pool", group, tuple(before), (part,), 0 if self._accelerated else 1)
        return [pool.key]

    def _measure(
        self, measure: Evaluation, label: str, kind: Literal["cell", "floor"], group: int, after: tuple[str, ...]
    ) -> None:
        if measure.key in self.work.measures:
            return
        self.work.measures[measure.key] = measure
        absent = {stage.key: stage for stage in measure.sources if not self._store.has(stage.name, stage.key)}
        shares = shares_of(measure, self._store, self._resources)
        before = [*after]
        for stage in list(absent.values()):
            apart = shares or self._accelerated or shares_of(stage, self._store, self._resources)
            if isinstance(stage, ReferenceStage) and apart:
                del absent[stage.key]
                before += self._seen(stage, group)
        beside = kind == "floor" and not absent
        parts = []
        if shares:
            assert isinstance(measure, MeasureStage)
            assert isinstance(measure.generated, SampleStage)
            samples = measure.generated
            if samples.start is not None and absent.pop(samples.start.key, None) is not None:
                after = (*after, *self._sampled(samples.start, label, group, after))
            for share in shares:
                both = [self._part(each) for each in (measure.needs(share), share) if not is_there(each, self._store)]
                self._add(share, f"{label}, {_range(share)}", "share", group, after, tuple(both))
            before += [share.key for share in shares]
            if absent.pop(samples.key, None) is not None and samples.shares(self._resources):
                parts = [Part(samples.key, "data/scores", together_seconds(samples))]
            parts += [Part(measure.key, kind_of(measure), LOADING)]
            beside = not absent
        else:
            parts = [*map(self._part, absent.values()), self._part(measure)]
        slots = 0 if beside and self._accelerated else 1
        self.work.jobs.append(Job(measure.key, label, kind, group, tuple(before), tuple(parts), slots))

    def _seen(self, stage: ReferenceStage, group: int) -> list[str]:
        """Keys of the jobs that see real images, in shares where they are many."""
        label = f"real images {size(stage.resolution)}"
        shares = shares_of(stage, self._store, self._resources)
        for share in shares:
            self._add(share, f"{label}, {_range(share)}", "share", group, (), (self._part(share),))
        if not shares:
            self._add(stage, label, "share", group, (), (self._part(stage),))
        return [share.key for share in shares] or [stage.key]

    def _sampled(self, stage: SampleStage, label: str, group: int, after: tuple[str, ...]) -> list[str]:
        """The key of the job that leaves samples which others begin from."""
        shares = shares_of(stage, self._store, self._resources)
        for share in shares:
            self._add(share, f"{label}, {_range(share)} to begin from", "share", group, after, (self._part(share),))
        slots = 0 if shares and self._accelerated else 1
        before = (*after, *(share.key for share in shares))
        part = Part(stage.key, "data/scores", together_seconds(stage)) if shares else self._part(stage)
        self._add(stage, f"{label}, to begin from", "share", group, before, (part,), slots)
        return [stage.key]

    def _add(
        self,
        stage: Stage,
        label: str,
        kind: Literal["pool", "share"],
        group: int,
        after: tuple[str, ...],
        parts: tuple[Part, ...],
        slots: int = 1,
    ) -> None:
        if stage.key not in self.work.others:
            self.work.others[stage.key] = stage
            self.work.jobs.append(Job(stage.key, label, kind, group, after, parts, slots))

    def _part(self, stage: Stage) -> Part:
        return Part(stage.key, kind_of(stage), self._seconds(stage))


def shares_of(stage: Stage, store: Store, resources: Resources) -> tuple[Share, ...]:
    """Shares that a missing stage is made in, done or not; none where it is small, or was begun in one piece."""
    if isinstance(stage, MeasureStage):
        return stage.shares(resources) if shares_of(stage.generated, store, resources) else stage.whole(resources)
    if isinstance(stage, PoolStage):
        return () if stage.is_there(store) else stage.missing(store, resources)
    if not isinstance(stage, SampleStage | ReferenceStage) or store.has(stage.name, stage.key):
        return ()
    return () if (store.partial(stage.name, stage.key) / DONE).exists() else stage.shares(resources)


def is_there(stage: Stage, store: Store) -> bool:
    """Whether nothing of a stage is left to do."""
    return stage.is_there(store) if isinstance(stage, Share | PoolStage) else store.has(stage.name, stage.key)


def needs(stage: Stage) -> list[Stage]:
    """What has to be in the store before a stage is made, beside its shares."""
    inputs: list[Stage | None] = []
    if isinstance(stage, Share):
        whole = stage.stage
        return [whole.needs(stage)] if isinstance(whole, MeasureStage) else needs(whole)  # type: ignore[arg-type]
    if isinstance(stage, TrainStage):
        inputs = [stage.start]
    elif isinstance(stage, DenoiseStage):
        inputs = [stage.train]
    elif isinstance(stage, SampleStage):
        inputs = [stage.train, stage.start]
    elif isinstance(stage, MeasureStage):
        inputs = [*stage.sources]
    return [each for each in inputs if each is not None]


def kind_of(stage: Stage) -> str:
    """What has about the same pace: a path, the more alike the longer the common prefix."""
    if isinstance(stage, Share):
        return "data/features" if isinstance(stage.stage, MeasureStage) else kind_of(stage.stage)  # type: ignore[arg-type]
    if isinstance(stage, PoolStage):
        return "data/pool"
    if isinstance(stage, TrainStage):
        return "compute/train"
    if isinstance(stage, SampleStage | DenoiseStage):
        return f"compute/{stage.name}/{size(stage.resolution)}"
    return "data/features" if stage.name == "reference" else "data/scores"


def _range(share: Share) -> str:
    return f"{share.first} to {share.stop - 1}"
