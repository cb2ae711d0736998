"""Intervals of metrics that have no resamples: a jackknife over groups of images, for any metric of two sets.

A bootstrap draws images repeatedly, and a repeated image is its own nearest neighbour at distance zero: precision,
recall and their kin are no longer what they were. Leaving groups out repeats nothing (Shao & Wu 1989, Annals of
Statistics 17; Efron & Tibshirani 1993, ch. 11). The g-th group of both sides is left out at once, dealt alike to all
sets, so that sets which share noise are compared image by image.

Shapes: G groups; N generated, M reference images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Score

GROUPS = 20


def pseudo_values(compute: Callable[[Inputs], Score], inputs: Inputs, seed: int = 0) -> np.ndarray:
    """[G] whose mean is the metric itself and whose spread that mean has as if they were independent.

    Images of one class are dealt evenly. Raises UserError where what is left is too few for the metric.
    """
    if (least := min(len(inputs.generated), len(inputs.reference))) < GROUPS:
        raise UserError(f"{least} images make no {GROUPS} groups to leave out")
    ours_N = _groups(len(inputs.generated), inputs.labels, seed)
    theirs_M = _groups(len(inputs.reference), inputs.reference_labels, seed + 1)
    value, _ = compute(inputs)
    without_G = np.array([compute(_without(inputs, ours_N == g, theirs_M == g))[0] for g in range(GROUPS)])
    pseudo_G: np.ndarray = value - (GROUPS - 1) * (without_G - without_G.mean())
    return pseudo_G


def _groups(count: int, classes_N: np.ndarray | None, seed: int) -> np.ndarray:
    """[N] the group of each image: dealt in random order, class by class."""
    shuffled = np.random.default_rng(seed).random(count)
    order = np.lexsort((shuffled, np.zeros(count) if classes_N is None else classes_N))
    groups_N = np.empty(count, np.int64)
    groups_N[order] = np.arange(count) % GROUPS
    return groups_N


def _without(inputs: Inputs, ours_N: np.ndarray, theirs_M: np.ndarray) -> Inputs:
    def rest(array: np.ndarray | None, gone: np.ndarray) -> np.ndarray | None:
        return None if array is None else array[~gone]

    return replace(
        inputs,
        generated=inputs.generated.subset(~ours_N),
        reference=inputs.reference.subset(~theirs_M),
        labels=rest(inputs.labels, ours_N),
        reference_labels=rest(inputs.reference_labels, theirs_M),
    )
