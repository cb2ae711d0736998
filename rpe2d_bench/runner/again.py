"""A published cell, computed again from its recipe or scored again from kept samples, beside what was published."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rpe2d_bench.errors import UserError, suggestion
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.storage.records import Record

if TYPE_CHECKING:
    from rpe2d_bench.config.experiment import Experiment
    from rpe2d_bench.storage.store import Store

ROUNDING = 1e-6  # share of a value, or of 1, that another order of additions moves
SPREADS = 3.0  # standard deviations over seeds


@dataclass(frozen=True)
class Value:
    """A metric of a cell, as published and as computed now."""

    metric: str
    published: float
    again: float | None  # None: the metric has another version now
    spread: float | None  # standard deviation of the published values over seeds; None of one seed

    @property
    def verdict(self) -> str:
        """Whether both can be of one recipe. Another processor rounds otherwise, and a training carries that on."""
        if self.again is None:
            return "not comparable: the metric has another version now"
        off = abs(self.again - self.published)
        if off <= ROUNDING * max(1.0, abs(self.published)):
            return "the same"
        if self.spread is None:
            return "differs; one seed was published, so nothing says by how much it may"
        return "within the spread of seeds" if off <= SPREADS * self.spread else "differs by more than seeds do"

    @property
    def agrees(self) -> bool:
        """Whether the verdict is no complaint."""
        return self.verdict in ("the same", "within the spread of seeds")


@dataclass(frozen=True)
class Again:
    """A cell, twice."""

    record: Record
    key: str  # of the stage that computed it now
    values: tuple[Value, ...]

    @property
    def moved(self) -> bool:
        """Whether the recipe means another stage than it did: this version computes something differently."""
        return self.key != self.record.key


def name_of(record: Record) -> str:
    """METHOD@SIZE#SEED, the size as 48 or 32x64."""
    return f"{record.method}@{_size(record)}#{record.seed}"


def chosen(records: Iterable[Record], cell: str | None) -> list[Record]:
    """The cells that a name means, METHOD[@SIZE[#SEED]]; without one, all. Raises UserError where it means none."""
    cells = [record for record in records if record.of_method and record.status == "ok"]
    if not cells:
        raise UserError("the report has no cell with a result")
    if cell is None:
        return cells
    asked, _, seed = cell.partition("#")
    method, _, size = asked.partition("@")
    wanted = str(Resolution.parse(size)) if size else None
    found = [r for r in cells if r.method == method and wanted in (None, _size(r)) and seed in ("", str(r.seed))]
    if not found:
        names = [name_of(record) for record in cells]
        raise UserError(f"no cell {cell!r} in the report{suggestion(cell, names) or f'; such as {names[0]}'}")
    return found


def again(record: Record, published: Iterable[Record], store: Store, samples: Store | None = None) -> Again:
    """A cell, computed in `store`; samples: a store whose samples are scored instead of drawing new ones.

    Raises UserError where that store does not hold them.
    """
    from rpe2d_bench.config import shipped
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.plan.precision import Precisions
    from rpe2d_bench.resolve.load import located
    from rpe2d_bench.stages import MeasureStage, read_result
    from rpe2d_bench.stages.run_context import RunContext

    experiment = located(_alone(record), shipped.FOLDER.parent)
    plan = make_plan(experiment, (), Precisions(store, experiment.resources))
    (cell,) = [cell for trial in plan.trials for cell in trial.cells if cell.method == record.method]
    if samples is not None:
        if not isinstance(cell.measure, MeasureStage):
            raise UserError(f"{name_of(record)}: nothing was sampled for it; leave --samples out")
        _take(cell.measure.generated.key, samples, store)
    result = read_result(cell.measure.make(RunContext(store, experiment.resources)))
    values = []
    for metric, value in record.metrics.items():
        same_version = result["versions"].get(metric) == record.metric_versions.get(metric)
        now = result["values"].get(metric) if same_version else None
        values.append(Value(metric, value, now, _spread(record, metric, published)))
    return Again(record, cell.measure.key, tuple(values))


def _alone(record: Record) -> Experiment:
    """The experiment of one cell, as it ran."""
    from rpe2d_bench.resolve.load import keep_methods

    whole = record.config.experiment
    train, test = record.train_resolution, record.test_resolution
    assert test is not None
    pair = next(pair for pair in whole.resolutions if pair.train == train and test in pair.test)
    pair = pair.model_copy(update={"test": (Resolution(*test),)})
    kept = keep_methods(whole, [str(record.method)])
    return kept.model_copy(update={"seeds": (record.seed,), "resolutions": (pair,), "search": None})


def _take(key: str, samples: Store, store: Store) -> None:
    """Let one store read the samples of another."""
    kept, here = samples.fetch("sample", key), store.folder("sample", key)
    if kept is None:
        folder = samples.folder("sample", key)
        raise UserError(f"there are no samples of this cell at {folder}; leave --samples out to draw them again")
    if not here.exists():
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(kept.resolve())


def _spread(record: Record, metric: str, published: Iterable[Record]) -> float | None:
    """Over the seeds of a cell."""
    where = ("method", "train_resolution", "test_resolution")
    found = [other.metrics[metric] for other in published
             if metric in other.metrics and all(getattr(other, w) == getattr(record, w) for w in where)]  # fmt: skip
    return statistics.stdev(found) if len(found) > 1 else None


def _size(record: Record) -> str:
    return str(Resolution(*record.test_resolution or ()))
