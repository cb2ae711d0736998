"""Which methods of one size differ: every pair of what was measured there, corrected within its family.

The stated family of a size and a metric is each method against the reference method and each against resizing. All
other pairs are corrected over all pairs, and never called more than a lead. Methods that coincide at a size are one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from rpe2d_bench.analysis.statistics import LEVEL, Gap, Scale, Tested, holm, paired_t, transformed
from rpe2d_bench.analysis.vocabulary import Quantity
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record

if TYPE_CHECKING:
    from rpe2d_bench.analysis.results import Results

ALPHA = 0.05
Pairs = dict[tuple[str, str], Gap]
Group = tuple[str, ...]  # methods that coincide


def differences(results: Results, train: Size, test: Size, metric: Quantity) -> Pairs:
    """(method, other) -> method - other, for all that do not coincide and share a seed; in one direction of the two."""
    columns = distinct(results, train, test, metric)
    groups = list(columns)
    scale = common_scale(
        metric, [record.metrics[metric.key] for column in columns.values() for record in column.values()]
    )
    sides = {group: _side(column, metric, scale) for group, column in columns.items()}
    raw: dict[tuple[Group, Group], Gap] = {}
    p_values: dict[tuple[Group, Group], tuple[float, float]] = {}
    for pair in combinations(groups, 2):
        tested = _over_seeds(sides[pair[0]], sides[pair[1]], scale)
        if tested is None:
            continue
        known = results.by_images.gap(pair[0][0], pair[1][0], train, test, metric) if tested.n == 1 else None
        if known is not None:
            gap, p_values[pair] = known[0], (known[1], 1.0)
        else:
            gap = Gap(tested.mean, tested.n, tested.low, tested.high, False, "seeds", scale)
            p_values[pair] = (tested.p, tested.p_level)
        raw[pair] = gap.times(metric.factor)
    anchors = {name for name in (results.reference, results.resizing) if name is not None}
    stated = [pair for pair in raw if anchors & {*pair[0], *pair[1]}]
    found: Pairs = {}
    protocol = set(stated)
    for family, is_stated in ((list(raw), False), (stated, True)):
        corrected = zip(family, *(holm([p_values[pair][k] for pair in family]) for k in (0, 1)), strict=True)
        for pair, p, p_level in corrected:
            if (pair in protocol) == is_stated:
                gap = replace(raw[pair], separated=p <= ALPHA, level=p_level <= ALPHA, stated=is_stated)
                for one in pair[0]:
                    for other in pair[1]:
                        found[one, other] = gap
    return found


def distinct(results: Results, train: Size, test: Size, metric: Quantity) -> dict[Group, dict[int, Record]]:
    """The methods of a size with their records by seed; together where those are the same in every seed."""
    groups: dict[frozenset[tuple[int, str]], list[str]] = {}
    columns = {method: results.measured(method, train, test, metric) for method in results.methods}
    for method, found in columns.items():
        if found:
            groups.setdefault(frozenset((seed, record.key) for seed, record in found.items()), []).append(method)
    return {tuple(group): columns[group[0]] for group in groups.values()}


def common_scale(metric: Quantity, values: list[float]) -> Scale:
    """The metric's own; the plain difference for all of a size where one value has no logarithm or is no share."""
    allowed = {"ratio": lambda value: value > 0, "odds ratio": lambda value: 0 <= value <= 1}.get(metric.scale)
    return metric.scale if allowed is None or all(map(allowed, values)) else "difference"


@dataclass(frozen=True)
class _Seed:
    """One seed of a column: its value on the scale of the test, and what it was measured with, where that is known."""

    value: float
    facts: tuple[object, ...]


def _side(column: dict[int, Record], metric: Quantity, scale: Scale) -> dict[int, _Seed]:
    """The seeds of a column, in order."""
    return {
        seed: _Seed(transformed([r.metrics[metric.key]], scale, r.num_samples)[0], _facts(r, metric))
        for seed, r in sorted(column.items())
    }


def over_seeds(ours: dict[int, Record], theirs: dict[int, Record], metric: Quantity, scale: Scale) -> Tested | None:
    """ours - theirs over the seeds that both have, measured alike; None where there are none."""
    return _over_seeds(_side(ours, metric, scale), _side(theirs, metric, scale), scale)


def _over_seeds(ours: dict[int, _Seed], theirs: dict[int, _Seed], scale: Scale) -> Tested | None:
    gaps = [
        our.value - their.value
        for seed, our in ours.items()
        if (their := theirs.get(seed)) is not None and _alike(our.facts, their.facts)
    ]
    return paired_t(gaps, None if scale == "difference" else LEVEL) if gaps else None


def _facts(record: Record, metric: Quantity) -> tuple[object, ...]:
    reference = record.sampling and (record.sampling.reference_key or None)
    return reference, record.metric_versions.get(metric.key), record.num_samples


def _alike(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether two are of one generation: the same reference images, version and count, where both are known."""
    return one == other or all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))
