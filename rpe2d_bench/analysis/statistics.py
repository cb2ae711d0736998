"""Means over seeds with intervals, and differences paired over seeds. Nothing here picks the best of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev

SEEDS_FOR_A_CLAIM = 5  # as analysis/paired_bootstrap.py resamples them


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds; spread is the standard deviation (n - 1), [low, high] Student's interval for the mean.

    With one seed there is neither spread nor interval: all three are None.
    """

    mean: float
    n: int
    spread: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        return None if self.high is None else self.high - self.mean

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False without an interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def shifted(self, offset: float) -> Estimate:
        """The same uncertainty around mean + offset."""
        low = None if self.low is None else self.low + offset
        high = None if self.high is None else self.high + offset
        return Estimate(self.mean + offset, self.n, self.spread, low, high)


@dataclass(frozen=True)
class Gap:
    """The difference between two methods, and whether it is more than chance."""

    mean: float
    n: int  # seeds
    low: float | None  # of the 95 % interval
    high: float | None
    separated: bool
    basis: str  # what the interval covers: "seeds", "samples" or "seeds and samples"

    @property
    def verdict(self) -> str:
        """'significant', 'a lead' or 'not separated'.

        Significant is said of trainings in general: five or more seeds, resampled, with the correction for many
        comparisons. Less than that is a lead: these models, or this many seeds.
        """
        if not self.separated:
            return "not separated"
        return "significant" if self.n >= SEEDS_FOR_A_CLAIM and self.basis == "seeds and samples" else "a lead"

    def times(self, factor: float) -> Gap:
        """In the units that are shown."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Gap(self.mean * factor, self.n, low, high, self.separated, self.basis)

    def reversed(self) -> Gap:
        """Seen from the other method."""
        low = None if self.high is None else -self.high
        return Gap(-self.mean, self.n, low, None if self.low is None else -self.low, self.separated, self.basis)


BASES = {
    "seeds": "Student's t over seeds, paired; covers the luck of training and of sampling",
    "samples": "paired bootstrap over the images, Holm's correction over all pairs of methods of a size; covers the"
    " images that were drawn from these trained models, not other trainings",
    "seeds and samples": "paired bootstrap over seeds and images, Holm's correction over all pairs of methods of a"
    " size",
}


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """Mean, spread and Student's t interval of values from different seeds; None without values."""
    if not values:
        return None
    mean = fmean(values)
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        return Estimate(mean, len(values))
    spread = stdev(values)
    half = _student(confidence, len(values) - 1) * spread / math.sqrt(len(values))
    return Estimate(mean, len(values), spread, mean - half, mean + half)


@lru_cache
def _student(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, 0.5 + confidence / 2))


def paired(ours: Mapping[int, float], theirs: Mapping[int, float], confidence: float = 0.95) -> Estimate | None:
    """ours - theirs over the seeds that both have; None when they share none."""
    return estimate([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())], confidence)
