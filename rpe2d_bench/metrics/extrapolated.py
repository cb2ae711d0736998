"""The Frechet distance at infinitely many samples (Chong & Forsyth 2020, arXiv 1911.07023, sec. 3).

FD's bias is linear in 1/n to first order: the distance of growing subsets, equally many on both sides, is regressed
on 1/n and read off at 1/n = 0. Distances of sets of different sizes become comparable; the variance grows.
"""

from __future__ import annotations

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

POINTS = 15
_SMALLEST = 0.25  # of the samples


def frechet_at_infinity(features_ND: np.ndarray, reference_MD: np.ndarray, seed: int = 0) -> tuple[float, str]:
    """FD extrapolated to infinite n, and in words from what. Not bounded below by zero: it is an estimate."""
    from rpe2d_bench.metrics.fd import frechet_distance

    count = min(len(features_ND), len(reference_MD))
    if count < 40:
        raise UserError(f"extrapolating the Frechet distance needs at least 40 images on each side, got {count}")
    sizes = np.unique(np.round(1.0 / np.linspace(1.0 / (_SMALLEST * count), 1.0 / count, POINTS)).astype(int))
    rng = np.random.default_rng(seed)
    values, inverse = [], []
    for size in sizes:
        for _ in range(max(1, count // size)):
            ours = rng.choice(len(features_ND), size, replace=False)
            theirs = rng.choice(len(reference_MD), size, replace=False)
            values.append(frechet_distance(features_ND[ours], reference_MD[theirs]))
            inverse.append(1.0 / size)
    _, intercept = np.polyfit(inverse, values, 1)
    return float(intercept), f"extrapolated from {sizes[0]}..{sizes[-1]} images, seed {seed}"


def _infinity(inputs: Inputs) -> Score:
    return frechet_at_infinity(inputs.generated.features_ND, inputs.reference.features_ND, inputs.seed)


FD_INFINITY = Metric(
    name="fd_infinity",
    label="FD∞",
    better="lower",
    explanation="Fréchet distance extrapolated to infinitely many images",
    citation="Chong & Forsyth 2020, arXiv 1911.07023",
    view="whole",
    compute=_infinity,
    compared="ratio",
)
