"""One run's records, seen as the experiment that was asked for: what is there, what is missing, what failed.

Longer than other files, because what is worked out of the records once is remembered in the one place that has them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rpe2d_bench.analysis.by_images import ByImages
from rpe2d_bench.analysis.real_images import RealImages
from rpe2d_bench.analysis.statistics import Basis, Estimate, Gap, estimate
from rpe2d_bench.analysis.vocabulary import Quantity, describe, resolve_metric
from rpe2d_bench.config.experiment import Experiment, MethodEntry
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record


@dataclass(frozen=True)
class Results:
    """The records of one run and the experiment they belong to."""

    records: list[Record]
    comparisons: list[dict[str, Any]] = field(default_factory=list)  # by images: analysis.by_images.ByImages
    order: tuple[str, ...] = ()  # methods in the order of their colours, where it is not that of the experiment
    _differences: dict[Any, dict[tuple[str, str], Gap]] = field(default_factory=dict, init=False, repr=False)
    _estimates: dict[Any, Estimate | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.records:
            raise UserError("no records to report on; run an experiment first: rpe2d-bench run experiments/NAME.yaml")
        runs = sorted({record.run for record in self.records})
        if len(runs) > 1:
            raise UserError(f"records of {len(runs)} runs ({', '.join(runs)}); a report shows one run, choose one")

    # What was asked for

    @property
    def newest(self) -> Record:
        return max(self.records, key=lambda record: record.created)

    @property
    def name(self) -> str:
        return self.newest.experiment

    @cached_property
    def experiment(self) -> Experiment:
        return self.newest.config.experiment

    @cached_property
    def methods(self) -> dict[str, MethodEntry]:
        """Methods in the order in which the experiment names them, with their settings."""
        asked = dict(self.experiment.methods)
        for record in self.records:
            if record.method is not None:
                asked.setdefault(record.method, MethodEntry(model=str(record.model)))
        return asked

    @cached_property
    def models(self) -> list[str]:
        asked = dict.fromkeys(self.experiment.models)
        return list(asked | dict.fromkeys(record.model for record in self.records if record.model))

    @cached_property
    def seeds(self) -> list[int]:
        return sorted({*self.experiment.seeds, *(record.seed for record in self.records if record.seed is not None)})

    @cached_property
    def resolutions(self) -> dict[Size, list[Size]]:
        """Train resolution -> test resolutions, squares by size first, then the others."""
        found: dict[Size, set[Size]] = {}
        for pair in self.experiment.resolutions:
            found.setdefault(pair.train, set()).update(pair.test)
        for record in self.records:
            if record.of_method and record.train_resolution and record.test_resolution:
                found.setdefault(record.train_resolution, set()).add(record.test_resolution)
        return {train: sorted(tests, key=lambda r: (r[0] != r[1], r[0] * r[1], r)) for train, tests in found.items()}

    @property
    def pairs(self) -> list[tuple[Size, Size]]:
        """Every train resolution with each of its test resolutions."""
        return [(train, test) for train, tests in self.resolutions.items() for test in tests]

    @property
    def image_counts(self) -> list[int]:
        """How many images cells were measured on: one number, unless it was changed on the way."""
        return sorted({record.num_samples for record in self.find("measure") if record.num_samples})

    @cached_property
    def metrics(self) -> list[Quantity]:
        """Every metric that was measured, the main one first."""
        keys = dict.fromkeys(key for record in self.of_methods for key in record.metrics)
        main = self.main_metric
        return [main, *(self._describe(key) for key in keys if key != main.key)] if main else []

    def _describe(self, key: str) -> Quantity:
        """What this package knows of a metric, else which way is better as the records say."""
        known = describe(key)
        if known.factor == 1000.0:  # customary for small kernel distances; a nuisance where they are not small
            values = [abs(r.metrics[key]) for r in self.of_methods if r.status == "ok" and key in r.metrics]
            known = replace(known, factor=1000.0 if max(values, default=0.0) < 1.0 else 1.0)
        if known.better is None:
            words = (r.measurement.better.get(key) for r in self.of_methods if r.measurement)
            return replace(known, better=next((word for word in words if word in ("lower", "higher")), None))
        return known

    @cached_property
    def main_metric(self) -> Quantity | None:
        """None while nothing has been measured."""
        asked = self.experiment.report.main_metric
        key = resolve_metric(asked, (key for r in self.of_methods for key in r.metrics))
        return self._describe(key) if key else None

    @property
    def reference(self) -> str | None:
        """The method that differences refer to."""
        name = self.experiment.report.reference_method
        return name if name in self.methods else None

    @cached_property
    def resizing(self) -> str | None:
        """The control that generates at the train resolution and enlarges; the reference's where several models do."""
        found = [name for name, spec in self.methods.items() if spec.upscale and spec.refine is None]
        model = self.methods[self.reference].model if self.reference else None
        return next((name for name in found if self.methods[name].model == model), next(iter(found), None))

    @cached_property
    def digest(self) -> str:
        """sha256 over the records, in an order that does not depend on when they were written."""
        lines = sorted(record.model_dump_json(exclude={"configuration"}) for record in self.records)
        shared = {id(record.configuration): record.configuration for record in self.records}.values()
        lines += sorted({each.model_dump_json() for each in shared})
        lines += sorted(json.dumps(entry, sort_keys=True) for entry in self.comparisons)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    # What is there

    def find(self, stage: str, **fields: Any) -> list[Record]:
        """Records of a stage whose fields have the given values."""
        return [
            record
            for record in self._by_stage.get(stage, [])
            if all(getattr(record, name) == value for name, value in fields.items())
        ]

    @cached_property
    def _by_stage(self) -> dict[str, list[Record]]:
        stages: dict[str, list[Record]] = {}
        for record in self.records:
            stages.setdefault(record.stage, []).append(record)
        return stages

    @cached_property
    def of_methods(self) -> list[Record]:
        """What methods came to: their samples as measured, and their denoising of real images."""
        return [record for record in self.records if record.of_method]

    def cell(self, method: str, train: Size, test: Size) -> list[Record]:
        return self._cells.get((method, train, test), [])

    @cached_property
    def _cells(self) -> dict[tuple[str, Size, Size], list[Record]]:
        cells: dict[tuple[str, Size, Size], list[Record]] = {}
        for record in self.of_methods:
            if record.method and record.train_resolution and record.test_resolution:
                cells.setdefault((record.method, record.train_resolution, record.test_resolution), []).append(record)
        return cells

    def by_seed(self, method: str, train: Size, test: Size, metric: Quantity) -> dict[int, float]:
        """Seed -> value as it is shown (metric.factor applied)."""
        found = self.measured(method, train, test, metric)
        return {seed: record.metrics[metric.key] * metric.factor for seed, record in found.items()}

    def measured(self, method: str, train: Size, test: Size, metric: Quantity) -> dict[int, Record]:
        """Seed -> record of a method that has the metric."""
        return {
            record.seed: record
            for record in self.cell(method, train, test)
            if record.status == "ok" and record.seed is not None and metric.key in record.metrics
        }

    def estimate(self, method: str, train: Size, test: Size, metric: Quantity) -> Estimate | None:
        where = (method, train, test, metric.key, metric.factor)
        if where not in self._estimates:
            self._estimates[where] = estimate(list(self.by_seed(method, train, test, metric).values()))
        return self._estimates[where]

    def means(self, methods: Iterable[str], train: Size, test: Size, metric: Quantity) -> dict[str, float]:
        """Method -> its estimate's mean, of those that have one."""
        return {name: found.mean for name in methods if (found := self.estimate(name, train, test, metric))}

    @cached_property
    def real(self) -> RealImages:
        return RealImages([r for r in self.records if not r.of_method and r.stage != "train"], self.by_images)

    def difference(self, method: str, other: str, train: Size, test: Size, metric: Quantity) -> Gap | None:
        """method - other, paired over seeds, or by images with one seed; None where they coincide or share no seed."""
        where = (train, test, metric.key)
        if where not in self._differences:
            from rpe2d_bench.analysis.differences import differences

            self._differences[where] = differences(self, train, test, metric)
        found = self._differences[where]
        if (method, other) in found:
            return found[method, other]
        return found[other, method].reversed() if (other, method) in found else None

    def coincide(self, method: str, other: str, train: Size, test: Size) -> bool:
        """Whether two methods came to the same stages there, in every seed: they realise the same encoding."""
        ours, theirs = ({(r.seed, r.key) for r in self.cell(name, train, test)} for name in (method, other))
        return bool(ours) and ours == theirs

    @cached_property
    def by_images(self) -> ByImages:
        return ByImages(self.comparisons)

    def basis(self, metric: Quantity) -> Basis:
        """What 'separated' rests on for a metric."""
        return "samples" if len(self.seeds) == 1 and metric.key in self.by_images.metrics else "seeds"

    def state(self, method: str, train: Size, test: Size, metric: Quantity | None = None) -> str:
        """'ok', 'partial' (seeds absent or failed), 'failed' or 'missing'; of what gives a metric, if one is named.

        'none' where there can be no value: resizing has samples, and no model at that size to look into.
        """
        found = self.cell(method, train, test)
        if metric is not None:
            found = [record for record in found if record.stage in self._stages_of.get(metric.key, ())]
        good = {record.seed for record in found if record.status == "ok"}
        if good:
            return "ok" if good >= set(self.seeds) else "partial"
        if metric is not None and not metric.has_floor and self.methods[method].upscale:
            return "none"
        return "failed" if found else "missing"

    @cached_property
    def _stages_of(self) -> dict[str, set[str]]:
        """Key of a metric -> stages that give it."""
        stages: dict[str, set[str]] = {}
        for record in self.of_methods:
            for key in record.metrics:
                stages.setdefault(key, set()).add(record.stage)
        return stages

    def best(self, train: Size, test: Size, metric: Quantity) -> list[str]:
        """The method with the best mean, first, and those that coincide with it.

        Empty where the metric has no direction and where the numbers allow no ranking.
        """
        if (train, test) in self.refusals:
            return []
        means = {m: mean for m, mean in self.means(self.methods, train, test, metric).items() if not math.isnan(mean)}
        if not means or metric.better is None:
            return []
        choose: Callable[..., float] = min if metric.better == "lower" else max
        top = choose(means.values())
        return [method for method, mean in means.items() if mean == top]

    @cached_property
    def refusals(self) -> dict[tuple[Size, Size], str]:
        """(train, test resolution) -> why no method is called better there."""
        from rpe2d_bench.analysis.refusals import refusals

        return refusals(self)

    @cached_property
    def worse_than_noise(self) -> dict[Size, str]:
        """Train resolution -> why samples from there say nothing; no entry where they do."""
        from rpe2d_bench.analysis.refusals import worse_than_noise

        return {train: why for train in self.resolutions if (why := worse_than_noise(self, train))}

    @cached_property
    def undertrained(self) -> dict[tuple[str, Size], str]:
        """(model, train resolution) -> why its numbers elsewhere are inconclusive."""
        from rpe2d_bench.analysis.quality import undertrained

        return undertrained(self)

    def is_undertrained(self, method: str, train: Size) -> bool:
        return (self.methods[method].model, train) in self.undertrained


def results_of(records: list[Record] | Results, comparisons: list[dict[str, Any]] | None = None) -> Results:
    """Records as results; results as they are."""
    return records if isinstance(records, Results) else Results(records, list(comparisons or []))
