"""Means over seeds with intervals, and differences paired over seeds. Nothing here picks the best of several.

docs/protocol.md ("What a difference rests on") has it all in closed form; tests/analysis/test_null.py simulates it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean
from typing import Literal

SEEDS_FOR_A_CLAIM = 5
LEVEL = math.log(1.25)  # margin of equivalence: ratios and odds ratios between 0.8 and 1.25 are level

Basis = Literal["seeds", "samples"]
Scale = Literal["difference", "ratio", "odds ratio"]


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
        """Of the interval; one that was cut at the end of a metric's range need not be even around the mean."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def shifted(self, offset: float) -> Estimate:
        """The same uncertainty around mean + offset."""
        low = None if self.low is None else self.low + offset
        high = None if self.high is None else self.high + offset
        return Estimate(self.mean + offset, self.n, self.spread, low, high)


@dataclass(frozen=True)
class Gap:
    """The difference between two methods, and whether it is more than chance.

    mean, low and high are on the scale that was tested: plain, or natural logarithms of a ratio or an odds ratio, so
    that below zero always means a smaller value. `shown` is what a reader is given.
    """

    mean: float
    n: int  # seeds
    low: float | None  # of the 95 % interval of this one comparison
    high: float | None
    separated: bool  # at 5 % after Holm's correction within its family
    basis: Basis
    scale: Scale = "difference"
    level: bool = False  # both one-sided tests of equivalence reject, after the same correction
    stated: bool = True  # a member of the family that the protocol states; else one of all pairs, looked at afterwards

    @property
    def verdict(self) -> str:
        """'significant', 'a lead' or 'not separated'.

        Significant is said of trainings in general, and of the comparisons that were stated before: five or more
        seeds. Less than that is a lead: these models, this many seeds, or a pair chosen for what it showed.
        """
        if not self.separated:
            return "not separated"
        return "significant" if self.claim else "a lead"

    @property
    def claim(self) -> bool:
        """Whether what it says may be said of trainings in general."""
        return self.n >= SEEDS_FOR_A_CLAIM and self.basis == "seeds" and self.stated

    @property
    def shown(self) -> Estimate:
        """The difference, ratio or odds ratio with its interval."""
        if self.scale == "difference":
            return Estimate(self.mean, self.n, None, self.low, self.high)
        low, high = (None if end is None else math.exp(end) for end in (self.low, self.high))
        return Estimate(math.exp(self.mean), self.n, None, low, high)

    def times(self, factor: float) -> Gap:
        """In the units that are shown; ratios have none."""
        if self.scale != "difference":
            return self
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return replace(self, mean=self.mean * factor, low=low, high=high)

    def reversed(self) -> Gap:
        """Seen from the other method."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return replace(self, mean=-self.mean, low=low, high=high)


BASES: dict[Basis, str] = {
    "seeds": "Student's t over training seeds, paired by seed",
    "samples": "paired bootstrap over the images of one training seed: it says nothing about another training",
}


@dataclass(frozen=True)
class Tested:
    """A paired test on one scale, before any correction for many comparisons."""

    mean: float
    n: int
    low: float | None
    high: float | None
    p: float  # two-sided, of no difference; 1 where nothing can be tested
    p_level: float  # of a difference beyond the margin, by two one-sided tests; 1 where there is no margin


def transformed(values: Sequence[float], scale: Scale, count: int | None = None) -> list[float]:
    """Values on the scale on which trained models are compared.

    ratio: ln x, for x > 0. odds ratio: the empirical logit ln (x + 1/2n) / (1 - x + 1/2n) of a share x of n images
    (Cox, 1970), which is finite at 0 and 1. difference: as they are.
    """
    if scale == "ratio":
        return [math.log(value) for value in values]
    if scale == "odds ratio":
        half = 0.5 / (count or 1)
        return [math.log((value + half) / (1.0 - value + half)) for value in values]
    return list(values)


def paired_t(differences: Sequence[float], margin: float | None = None) -> Tested:
    """Student's t of paired differences against zero, and against -margin and margin (Schuirmann, 1987).

    Fewer than two differences test nothing: no interval, p = 1.
    """
    found = estimate(differences)
    if found is None:
        raise ValueError("no paired differences")
    if found.spread is None:
        return Tested(found.mean, found.n, None, None, 1.0, 1.0)
    error = found.spread / math.sqrt(found.n)
    p = 2.0 * _beyond(abs(found.mean), error, found.n - 1)
    p_level = 1.0 if margin is None else _beyond(margin - abs(found.mean), error, found.n - 1)
    return Tested(found.mean, found.n, found.low, found.high, p, p_level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: reject where at most the level wanted."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _beyond(distance: float, error: float, freedom: int) -> float:
    """The upper tail of Student's t at distance / error; values that do not vary at all leave no doubt but at zero."""
    if error == 0.0:
        return 0.5 if distance == 0.0 else float(distance < 0.0)
    from scipy.special import stdtr  # scipy.stats takes a second to import

    return float(stdtr(freedom, -distance / error))


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean, spread and Student's 95 % t interval of values from different seeds; None without values."""
    if not values:
        return None
    mean = fmean(values)
    if len(values) < 2 or not math.isfinite(mean):
        return Estimate(mean, len(values))
    spread = math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1))  # stdev adds fractions
    half = _student(len(values) - 1) * spread / math.sqrt(len(values))
    return Estimate(mean, len(values), spread, mean - half, mean + half)


@lru_cache
def _student(freedom: int) -> float:
    """The two-sided quantile of Student's t at 95 %."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, 0.975))
