"""Which differences between sets of images are more than the luck of the draw: paired bootstrap over images.

Sets that are compared share noise, labels and references, so a resample draws the same images of every method. The
interval covers the images of *these* trained models and says nothing about another training: five resampled seeds give
too many false alarms (LOG.md), so differences between trainings are analysis/statistics.py's paired t.

Shapes: S seeds, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rpe2d_bench.analysis import replicates as bootstrap
from rpe2d_bench.analysis.statistics import holm
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import fd, kid

Distance = Literal["fd", "kid"]


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
    covers: Literal["samples only"] = "samples only"

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
        labels, reference_labels = [kid.with_pairs(each) for each in labels], kid.with_pairs(reference_labels)
        strata = list(labels)
    else:
        reference_labels = None
    rng_of = [np.random.default_rng([seed, index]) for index in range(len(images) + 1)]  # the reference, each seed
    if metric == "fd" or max(len(reference_MD), *images) > kid.ALL_SAMPLES:
        return _linear(features, reference_MD, metric, strata, reference_labels, resamples, rng_of)
    weights_BM = bootstrap.multinomial_weights(resamples, len(reference_MD), rng_of[0], reference_labels)
    within_B = bootstrap.within_replicates(reference_MD, weights_BM, reference_labels)
    exact: dict[str, list[float]] = {name: [] for name in features}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in features}
    for index, classes in enumerate(strata):  # one seed's weights at a time: they are large, and every method's
        weights_BN = bootstrap.multinomial_weights(resamples, images[index], rng_of[index + 1], classes)
        for name, sets in features.items():
            x_ND = sets[index]
            exact[name].append(kid.mmd2(x_ND, reference_MD, classes, reference_labels))
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
    others_M = kid.mean_with_others(reference_MD, reference_labels) if metric == "kid" else None
    values_KS = np.empty((len(features), len(strata)))
    theirs_KSM = np.empty((len(features), len(strata), len(reference_MD)))
    drawn_KSB = np.empty((len(features), len(strata), resamples))
    for index, classes in enumerate(strata):
        ours_KN = np.empty((len(features), len(next(iter(features.values()))[index])))
        for k, sets in enumerate(features.values()):
            x_ND = sets[index]
            if metric == "fd":
                values_KS[k, index] = fd.frechet_distance(x_ND, reference_MD)
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
    names = list(features)
    pairs = [
        (one, other)
        for i, one in enumerate(names)
        for other in ([against] if against is not None else names[i + 1 :])
        if one != other
    ]
    found = [
        _comparison(metric, one, other, values[one] - values[other], drawn[one] - drawn[other], len(features[one][0]))
        for one, other in pairs
    ]
    adjusted = holm([comparison.p for comparison in found])
    return [replace(comparison, p_adjusted=p) for comparison, p in zip(found, adjusted, strict=True)]


def against_zero(
    name: str,
    reference_name: str,
    features: Sequence[np.ndarray],
    reference_MD: np.ndarray,
    metric: Distance,
    *,
    labels: Sequence[np.ndarray] | None = None,
    reference_labels: np.ndarray | None = None,
    resamples: int = 4000,
    seed: int = 0,
) -> Comparison:
    """The distance of one kind of images, one [N, D] a seed, from the reference, both sides resampled: the floor's."""
    values, drawn = replicates(
        {name: features}, reference_MD, metric, labels=labels, reference_labels=reference_labels, resamples=resamples,
        seed=seed,
    )  # fmt: skip
    return _comparison(metric, name, reference_name, values[name], drawn[name], len(features[0]))


def _comparison(
    metric: Distance, one: str, other: str, values_S: np.ndarray, drawn_SB: np.ndarray, images: int
) -> Comparison:
    difference, low, high, p = tested(values_S, drawn_SB)
    return Comparison(metric, one, other, difference, low, high, p, 1.0, len(values_S), images)


def tested(values_S: np.ndarray, drawn_SB: np.ndarray) -> tuple[float, float, float, float]:
    """A difference over seeds [S] with its resamples [S, B]: its mean, the ends of the 95 % interval, two-sided p."""
    difference, spread_B = float(values_S.mean()), drawn_SB.mean(axis=0)
    low, high = np.quantile(spread_B, [0.025, 0.975])
    # how often chance alone, the resamples moved to a difference of zero, is at least as far away
    beyond = int((np.abs(spread_B - spread_B.mean()) >= abs(difference)).sum())
    identical = not spread_B.any() and difference == 0.0
    p = 1.0 if identical else (1 + beyond) / (1 + len(spread_B))
    return difference, float(low), float(high), p
