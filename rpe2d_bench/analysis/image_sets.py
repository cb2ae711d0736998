"""Sets of images against one reference: every value with its interval, and paired differences between the sets.

Intervals cover the luck of the images on both sides and say nothing about another training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rpe2d_bench.analysis.left_out import pseudo_values
from rpe2d_bench.analysis.paired_bootstrap import Distance, replicates, tested
from rpe2d_bench.analysis.statistics import holm, paired_t
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.metrics import METRICS, Inputs, Measurement, Metric, validate, value_name
from rpe2d_bench.metrics.look import Look
from rpe2d_bench.metrics.score_files import REFERENCE, TRAINING, Progress, SeenSet, score_side, seen_sets
from rpe2d_bench.metrics.views import names_of

RESAMPLES = 4000
MOST = 5000  # images of a side up to which metrics of nearest neighbours are computed anew for each group
DISTANCES: dict[str, Distance] = {
    **dict.fromkeys(("fd", "fd_global", "fd_local", "sfid"), "fd"),
    **dict.fromkeys(("kid", "kid_global", "kid_local"), "kid"),
}
Verdict = Literal["better", "worse", "higher", "lower", "not separated"]


@dataclass(frozen=True)
class Difference:
    """A value of one set minus that of `against`, paired image by image."""

    against: str
    difference: float
    low: float  # of the 95 % interval
    high: float
    p: float  # two-sided, of this one comparison
    p_adjusted: float  # after Holm's correction over the sets
    verdict: Verdict  # at 5 % of p_adjusted; higher or lower where the metric knows no better


@dataclass(frozen=True)
class MeasuredSet:
    """One set of images: values by name, their 95 % intervals where there are any, and differences."""

    name: str
    measurement: Measurement
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    unpaired: str = ""  # why there are no differences


@dataclass(frozen=True)
class _Spread:
    """How a value varies: resamples of it [B], or pseudo-values [G]."""

    value: float
    drawn: np.ndarray
    resampled: bool

    def tested(self) -> tuple[float, float, float, float]:
        """Value, ends of the 95 % interval, p of zero."""
        if self.resampled:
            return tested(np.array([self.value]), self.drawn[None])
        found = paired_t(self.drawn.tolist())
        assert found.low is not None
        assert found.high is not None
        return self.value, found.low, found.high, found.p

    def minus(self, other: _Spread) -> _Spread:
        return _Spread(self.value - other.value, self.drawn - other.drawn, self.resampled)


def compare_sets(
    sets: Sequence[Path],
    reference: Path,
    look: Look,
    *,
    against: str | None = None,
    store: Path | None = None,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
    resamples: int = RESAMPLES,
) -> list[MeasuredSet]:
    """Every set against `reference`, and those that are paired with `against` (by default the first) against it.

    Sets are paired where their files have the same names; arrays, where their labels are the same in the same order.
    `store` keeps features for the next call. `say` hears of damaged ones. Raises UserError for sets of unequal counts
    or sizes, and for whatever can't be measured.
    """
    names = _names(sets)
    first = names[0] if against is None else _named(against, names, sets)
    paths = {**dict(zip(names, sets, strict=True)), REFERENCE: reference}
    with seen_sets(paths, look, store=store, progress=progress, say=say) as sides:
        _comparable(names, sides)
        found = {name: MeasuredSet(name, score_side(sides, name, look)) for name in names}
        reasons = {name: "" if name == first else _unpaired(sides[first], sides[name], first) for name in names}
        groups = [[name for name in names if not reasons[name]], *([name] for name in names if reasons[name])]
        for metric in validate(look.metrics, look.net, look.judge):
            key = value_name(metric, look.net, look.judge)
            spreads: dict[str, _Spread] = {}
            for group in groups:
                spreads |= _spreads(METRICS[metric], group, sides, look, resamples)
            differences = _differences(METRICS[metric], first, {n: s for n, s in spreads.items() if not reasons[n]})
            for name, spread in spreads.items():
                _, low, high, _ = spread.tested()
                least, most = _range(METRICS[metric])
                found[name].intervals[key] = (max(low, least), min(high, most))
                if name in differences:
                    found[name].differences[key] = differences[name]
    return [replace(found[name], unpaired=reasons[name]) for name in names]


def _names(sets: Sequence[Path]) -> list[str]:
    """Short names that tell the sets apart, and from the other sides."""
    short = [path.stem if path.is_file() else path.name for path in sets]
    for choice in (short, [str(path) for path in sets], [f"./{path}" for path in sets]):
        if len({*choice, REFERENCE, TRAINING}) == len(choice) + 2:
            return choice
    twice = next(path for path in sets if sets.count(path) > 1)
    raise UserError(f"{twice} is given twice; name each set of images once")


def _named(against: str, names: Sequence[str], sets: Sequence[Path]) -> str:
    known = dict(zip(names, names, strict=True)) | {str(path): name for path, name in zip(sets, names, strict=True)}
    if against not in known:
        raise unknown("set to compare against", against, names)
    return known[against]


def _comparable(names: Sequence[str], sides: Mapping[str, SeenSet]) -> None:
    first, *others = (sides[name] for name in names)
    for other in others:
        if other.seen.resolution != first.seen.resolution and None not in (
            other.seen.resolution,
            first.seen.resolution,
        ):
            sizes = [next(iter(side.account["sizes"])) for side in (first, other)]
            raise UserError(
                f"images of {first.path} have {sizes[0]} pixels, of {other.path} {sizes[1]}; measure sets of one size "
                "together"
            )


def _unpaired(first: SeenSet, other: SeenSet, name: str) -> str:
    """Why two sets are not paired; nothing where they are."""
    if first.names != other.names:
        return f"its files are not named as those of {name}"
    ours, theirs = (None if side.labels is None else side.labels.tolist() for side in (first, other))
    return "" if ours == theirs else f"its labels are not those of {name}"


def _spreads(
    metric: Metric, names: Sequence[str], sides: Mapping[str, SeenSet], look: Look, resamples: int
) -> dict[str, _Spread]:
    """How the metric varies in sets that are paired with each other; nothing where that can't be said."""
    real, labels = sides[REFERENCE], sides[names[0]].labels
    views = names_of(metric.view, real.seen.views)
    known = labels is not None and real.labels is not None
    if kind := DISTANCES.get(metric.name):
        if kind == "fd" and real.statistics is not None:
            return {}  # the statistics of a file have no images to draw from
        values: dict[str, list[np.ndarray]] = {name: [] for name in names}
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for view in views:
            of_view = replicates(
                {name: [sides[name].seen.views[view].features_ND] for name in names},
                real.seen.views[view].features_ND,
                kind,
                labels=[labels] if known and labels is not None else None,
                reference_labels=real.labels if known else None,
                resamples=resamples,
                seed=look.seed,
            )
            for name in names:
                values[name].append(of_view[0][name][0])
                drawn[name].append(of_view[1][name][0])
        return {n: _Spread(float(np.mean(values[n])), np.mean(drawn[n], axis=0), True) for n in names}
    if metric.view == "whole" and max(real.seen.count, *(sides[name].seen.count for name in names)) > MOST:
        return {}
    assert metric.compute is not None
    training = sides[TRAINING].seen.views if metric.training else {}
    found = {}
    try:
        for name in names:
            by_view = [
                pseudo_values(
                    metric.compute,
                    Inputs(
                        sides[name].seen.views[view], real.seen.views[view], labels, real.labels, training.get(view),
                        look.seed,
                    ),
                    look.seed,
                )
                for view in views
            ]  # fmt: skip
            pseudo_G = np.mean(by_view, axis=0)
            found[name] = _Spread(float(pseudo_G.mean()), pseudo_G, False)
    except UserError:  # enough images for a value, not for one without a group of them
        return {}
    return found


def _range(metric: Metric) -> tuple[float, float]:
    """Beyond which no value lies: a share's, a Frechet distance's, anything's."""
    if metric.factor == 100.0:
        return 0.0, 1.0
    return (0.0 if DISTANCES.get(metric.name) == "fd" else -np.inf), np.inf


def _differences(metric: Metric, first: str, spreads: Mapping[str, _Spread]) -> dict[str, Difference]:
    """Each set minus the first, corrected together."""
    if first not in spreads:
        return {}
    rows = {name: spread.minus(spreads[first]).tested() for name, spread in spreads.items() if name != first}
    adjusted = holm([p for *_, p in rows.values()])
    return {
        name: Difference(first, difference, low, high, p, p_adjusted, _verdict(metric, difference, p_adjusted))
        for (name, (difference, low, high, p)), p_adjusted in zip(rows.items(), adjusted, strict=True)
    }


def _verdict(metric: Metric, difference: float, p: float) -> Verdict:
    if p > 0.05:
        return "not separated"
    direction: Literal["higher", "lower"] = "lower" if difference < 0 else "higher"
    if metric.better == "neither":
        return direction
    return "better" if direction == metric.better else "worse"
