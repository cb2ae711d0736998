"""Which methods of one size differ: every pair of what was measured there, corrected within its family.

The stated family of a size and a metric is each method against the reference method and each against resizing. All
other pairs are corrected over all pairs, and never called more than a lead. Methods that coincide at a size are one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from rpe2d_bench.analysis.statistics import LEVEL, Gap, Scale, Tested, holm, paired_t, transformed
from rpe2d_bench.analysis.vocabulary import Metric
from rpe2d_bench.storage.records import Record, Resolution

if TYPE_CHECKING:
    from rpe2d_bench.analysis.results import Results

ALPHA = 0.05
Pairs = dict[tuple[str, str], Gap]
Group = tuple[str, ...]  # methods that coincide


def differences(results: Results, train: Resolution, test: Resolution, metric: Metric) -> Pairs:
    """(method, other) -> method - other, for all that do not coincide and share a seed; in both directions."""
    columns = distinct(results, train, test, metric)
    groups = list(columns)
    scale = common_scale(
        metric, [record.metrics[metric.key] for column in columns.values() for record in column.values()]
    )
    raw: dict[tuple[Group, Group], Gap] = {}
    p_values: dict[tuple[Group, Group], tuple[float, float]] = {}
    for pair in combinations(groups, 2):
        tested = over_seeds(columns[pair[0]], columns[pair[1]], metric, scale)
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
    for family, members in ((list(raw), [pair for pair in raw if pair not in stated]), (stated, stated)):
        corrected = zip(family, *(holm([p_values[pair][k] for pair in family]) for k in (0, 1)), strict=True)
        for pair, p, p_level in corrected:
            if pair in members:
                gap = replace(raw[pair], separated=p <= ALPHA, level=p_level <= ALPHA, stated=pair in stated)
                for one in pair[0]:
                    for other in pair[1]:
                        found[one, other], found[other, one] = gap, gap.reversed()
    return found


def distinct(results: Results, train: Resolution, test: Resolution, metric: Metric) -> dict[Group, dict[int, Record]]:
    """The methods of a size with their records by seed; together where those are the same in every seed."""
    groups: dict[frozenset[tuple[int, str]], list[str]] = {}
    columns = {method: column(results, method, train, test, metric) for method in results.methods}
    for method, found in columns.items():
        if found:
            groups.setdefault(frozenset((seed, record.key) for seed, record in found.items()), []).append(method)
    return {tuple(group): columns[group[0]] for group in groups.values()}


def column(results: Results, method: str, train: Resolution, test: Resolution, metric: Metric) -> dict[int, Record]:
    """Seed -> record of a method that has the metric."""
    return {
        record.seed: record
        for record in results.cell(method, train, test)
        if record.status == "ok" and record.seed is not None and metric.key in record.metrics
    }


def common_scale(metric: Metric, values: list[float]) -> Scale:
    """The metric's own; the plain difference for all of a size where one value has no logarithm or is no share."""
    allowed = {"ratio": lambda value: value > 0, "odds ratio": lambda value: 0 <= value <= 1}.get(metric.scale)
    return metric.scale if allowed is None or all(map(allowed, values)) else "difference"


def over_seeds(ours: dict[int, Record], theirs: dict[int, Record], metric: Metric, scale: Scale) -> Tested | None:
    """ours - theirs over the seeds that both have, measured alike; None where there are none."""
    seeds = [seed for seed in sorted(ours.keys() & theirs.keys()) if measured_alike(ours[seed], theirs[seed], metric)]
    if not seeds:
        return None
    one, other = (
        [transformed([side[seed].metrics[metric.key]], scale, side[seed].num_samples)[0] for seed in seeds]
        for side in (ours, theirs)
    )
    margin = None if scale == "difference" else LEVEL
    return paired_t([a - b for a, b in zip(one, other, strict=True)], margin)


def measured_alike(one: Record, other: Record, metric: Metric) -> bool:
    """Whether two records are of one generation: the same reference images and version of the metric, where known."""
    facts = [
        (r.sampling and (r.sampling.reference_key or None), r.metric_versions.get(metric.key), r.num_samples)
        for r in (one, other)
    ]
    return all(None in (ours, theirs) or ours == theirs for ours, theirs in zip(*facts, strict=True))
