"""Which differences between methods are real: paired bootstrap over seeds and samples, Holm's correction, intervals.

Methods that are compared share noise, labels and references, so a resample draws the same images of every method.
With `SEEDS_FOR_A_CLAIM` or more training seeds the seeds are resampled too and a claim is about the training recipe;
with fewer the interval covers the sampled images only, and the result says so.

Shapes: S seeds, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rpe2d_bench.analysis import replicates as bootstrap
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import frechet, kernel

SEEDS_FOR_A_CLAIM = 5
Distance = Literal["fd", "kid"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its interval; low and high are NaN where one seed gives no spread."""

    mean: float
    low: float
    high: float
    spread: float  # standard deviation over seeds
    count: int


def over_seeds(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean, Student interval and standard deviation of one value per seed; values that are not finite are refused."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or not np.isfinite(array).all():
        raise UserError(f"no mean over {len(array)} seeds of which {int((~np.isfinite(array)).sum())} are not finite")
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, float("nan"), float("nan"), float("nan"), 1)
    from scipy.special import stdtrit

    spread = float(array.std(ddof=1))
    half = float(stdtrit(len(array) - 1, (1 + level) / 2)) * spread / np.sqrt(len(array))
    return Interval(mean, mean - half, mean + half, spread, len(array))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: reject where at most the level wanted."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted.tolist()


@dataclass(frozen=True)
class Comparison:
    """Distance of `method` minus distance of `against`: below zero means that `method` is better."""

    metric: Distance
    method: str
    against: str
    difference: float
    low: float  # of the 95 % interval
    high: float
    p: float  # two-sided, of one comparison
    p_adjusted: float  # after Holm's correction over the family it was made in
    seeds: int
    samples: int  # images per seed
    covers: Literal["seeds and samples", "samples only"]

    @property
    def significant(self) -> bool:
        """At 5 % after correction."""
        return self.p_adjusted <= 0.05


def replicates(
    features: Mapping[str, Sequence[np.ndarray]],
    reference_MD: np.ndarray,
    metric: Distance,
    *,
    labels: Sequence[np.ndarray] | None = None,
    reference_labels: np.ndarray | None = None,
    resamples: int = 4000,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Per method, the distance of each seed [S] and its resamples [S, B], drawn alike for all methods."""
    counts = {(len(sets), *(len(x) for x in sets)) for sets in features.values()}
    if len(counts) != 1:
        raise UserError("a paired comparison needs the same seeds and images of every method; some are missing")
    _, *images = counts.pop()
    strata: list[np.ndarray | None] = [None] * len(images)
    if labels is not None and reference_labels is not None:
        labels, reference_labels = [kernel.with_pairs(each) for each in labels], kernel.with_pairs(reference_labels)
        strata = list(labels)
    else:
        reference_labels = None
    rng_of = [np.random.default_rng([seed, index]) for index in range(len(images) + 1)]  # the reference, each seed
    if metric == "fd" or max(len(reference_MD), *images) > kernel.ALL_SAMPLES:
        return _linear(features, reference_MD, metric, strata, reference_labels, resamples, rng_of)
    weights_BM = bootstrap.multinomial_weights(resamples, len(reference_MD), rng_of[0], reference_labels)
    within_B = bootstrap.within_replicates(reference_MD, weights_BM, reference_labels)
    exact: dict[str, list[float]] = {name: [] for name in features}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in features}
    for index, classes in enumerate(strata):  # one seed's weights at a time: they are large, and every method's
        weights_BN = bootstrap.multinomial_weights(resamples, images[index], rng_of[index + 1], classes)
        for name, sets in features.items():
            x_ND = sets[index]
            exact[name].append(kernel.mmd2(x_ND, reference_MD, classes, reference_labels))
            drawn_B = bootstrap.kernel_replicates(
                x_ND, reference_MD, weights_BN, weights_BM, classes, reference_labels, within_B
            )
            rows[name].append(drawn_B)
    return {name: np.array(of) for name, of in exact.items()}, {name: np.stack(of) for name, of in rows.items()}


def _linear(
    features: Mapping[str, Sequence[np.ndarray]],
    reference_MD: np.ndarray,
    metric: Distance,
    strata: Sequence[np.ndarray | None],
    reference_labels: np.ndarray | None,
    resamples: int,
    rng_of: Sequence[np.random.Generator],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """`replicates` from the influence of each image: one number an image, seed and method in memory."""
    others_M = kernel.mean_with_others(reference_MD, reference_labels) if metric == "kid" else None
    values_KS = np.empty((len(features), len(strata)))
    theirs_KSM = np.empty((len(features), len(strata), len(reference_MD)))
    drawn_KSB = np.empty((len(features), len(strata), resamples))
    for index, classes in enumerate(strata):
        ours_KN = np.empty((len(features), len(next(iter(features.values()))[index])))
        for k, sets in enumerate(features.values()):
            x_ND = sets[index]
            if metric == "fd":
                values_KS[k, index] = frechet.frechet_distance(x_ND, reference_MD)
                ours_KN[k], theirs_KSM[k, index] = bootstrap.influences(x_ND, reference_MD)
            else:
                values_KS[k, index], ours_KN[k], theirs_KSM[k, index] = bootstrap.kernel_influences(
                    x_ND, reference_MD, classes, reference_labels, others_M
                )
        drawn_KSB[:, index] = bootstrap.linear_replicates(ours_KN, resamples, rng_of[index + 1], classes)
    flat = theirs_KSM.reshape(-1, len(reference_MD))
    moved = bootstrap.linear_replicates(flat, resamples, rng_of[0], reference_labels).reshape(drawn_KSB.shape)
    drawn_KSB += values_KS[:, :, None] + moved
    return dict(zip(features, values_KS, strict=True)), dict(zip(features, drawn_KSB, strict=True))


def compare(
    features: Mapping[str, Sequence[np.ndarray]],
    reference_MD: np.ndarray,
    metric: Distance,
    *,
    against: str | None = None,
    labels: Sequence[np.ndarray] | None = None,
    reference_labels: np.ndarray | None = None,
    resamples: int = 4000,
    seed: int = 0,
) -> list[Comparison]:
    """All pairs of methods (or all against one), corrected together; `features` holds one [N, D] per seed and method.

    Row i of seed s must come from the same noise and label in every method. With `labels` (one [N] per seed) and
    `reference_labels` images are resampled within their class.
    """
    if against is not None and against not in features:
        raise UserError(f"the method {against!r} has no features to compare against")
    values, drawn = replicates(
        features, reference_MD, metric, labels=labels, reference_labels=reference_labels, resamples=resamples, seed=seed
    )
    seeds = len(next(iter(values.values())))
    rng = np.random.default_rng([seed, seeds, resamples])
    over_training = seeds >= SEEDS_FOR_A_CLAIM
    chosen_BS = np.tile(np.arange(seeds), (resamples, 1))
    if over_training:
        chosen_BS = rng.integers(0, seeds, (resamples, seeds))
    columns_B = np.arange(resamples)[:, None]
    names = list(features)
    pairs = [
        (one, other)
        for i, one in enumerate(names)
        for other in ([against] if against is not None else names[i + 1 :])
        if one != other
    ]
    found = []
    for one, other in pairs:
        difference = float((values[one] - values[other]).mean())
        spread_B = (drawn[one] - drawn[other])[chosen_BS, columns_B].mean(axis=1)
        low, high = np.quantile(spread_B, [0.025, 0.975])
        # how often chance alone, the resamples moved to a difference of zero, is at least as far away
        beyond = int((np.abs(spread_B - spread_B.mean()) >= abs(difference)).sum())
        identical = not spread_B.any() and difference == 0.0
        found.append(
            Comparison(
                metric, one, other, difference, float(low), float(high),
                1.0 if identical else (1 + beyond) / (1 + resamples), 1.0, seeds,
                min(len(x) for x in features[one]), "seeds and samples" if over_training else "samples only",
            )
        )  # fmt: skip
    adjusted = holm([comparison.p for comparison in found])
    return [replace(comparison, p_adjusted=p) for comparison, p in zip(found, adjusted, strict=True)]


def adjust_together(families: Sequence[Sequence[Comparison]]) -> list[list[Comparison]]:
    """Holm's correction over several lists at once, as for all test resolutions of one report."""
    adjusted = iter(holm([comparison.p for family in families for comparison in family]))
    return [[replace(comparison, p_adjusted=next(adjusted)) for comparison in family] for family in families]
