"""Fidelity and diversity apart: improved precision and recall, density and coverage.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991, eq. 1-3) with k = 3. Density and coverage: Naeem et
al. 2020 (arXiv 2002.09797, eq. 4-5) with k = 5. A ball reaches to the k-th nearest neighbour within its own set, the
point itself not counted, and is closed.

Shapes: N generated, M real; D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

NEAREST = 3
NEAREST_DENSITY = 5
_ROWS = 1024  # of a block of distances in memory
_COLUMNS = 8192


def squared_distances(one_ND: np.ndarray, other_MD: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """(rows, columns, squared distances between them) block by block, float64; all columns of some rows, then on."""
    for top in range(0, len(one_ND), _ROWS):
        rows = one_ND[top : top + _ROWS].astype(np.float64)
        norms = np.square(rows).sum(axis=1)[:, None]
        for left in range(0, len(other_MD), _COLUMNS):
            columns = other_MD[left : left + _COLUMNS].astype(np.float64)
            block = norms + np.square(columns).sum(axis=1) - 2.0 * (rows @ columns.T)
            yield slice(top, top + len(rows)), slice(left, left + len(columns)), np.maximum(block, 0.0)


def radii(features_ND: np.ndarray, k: int) -> np.ndarray:
    """[N] squared distance of each point to its k-th nearest neighbour in the same set."""
    if len(features_ND) <= k:
        raise UserError(f"{len(features_ND)} images have no {k} nearest neighbours; at least {k + 1} are needed")
    nearest = np.full((len(features_ND), k), np.inf)
    for rows, columns, block in squared_distances(features_ND, features_ND):
        itself = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
        block[itself - rows.start, itself - columns.start] = np.inf
        nearest[rows] = np.partition(np.hstack([nearest[rows], block]), k - 1, axis=1)[:, :k]
    radii: np.ndarray = nearest.max(axis=1)
    return radii


def _in_balls(points_ND: np.ndarray, centres_MD: np.ndarray, k: int) -> tuple[float, float]:
    """Share of the points within at least one ball of the centres, and the mean number of balls around a point."""
    reach = radii(centres_MD, k)
    balls = np.zeros(len(points_ND), np.int64)
    for rows, columns, block in squared_distances(points_ND, centres_MD):
        balls[rows] += (block <= reach[columns]).sum(axis=1)
    return float((balls > 0).mean()), float(balls.mean())


def precision(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST) -> float:
    """Share of generated images within the real manifold."""
    return _in_balls(generated_ND, real_MD, k)[0]


def recall(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST) -> float:
    """Share of real images within the generated manifold."""
    return _in_balls(real_MD, generated_ND, k)[0]


def density(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST_DENSITY) -> float:
    """Mean number of real balls around a generated image, over k; can exceed 1."""
    return _in_balls(generated_ND, real_MD, k)[1] / k


def coverage(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST_DENSITY) -> float:
    """Share of real balls that hold at least one generated image."""
    reach = radii(real_MD, k)
    covered = np.zeros(len(real_MD), bool)
    for rows, _, block in squared_distances(real_MD, generated_ND):
        covered[rows] |= block.min(axis=1) <= reach[rows]
    return float(covered.mean())


def _of_features(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Inputs], Score]:
    return lambda inputs: (function(inputs.generated.features_ND, inputs.reference.features_ND), "")


PRECISION = Metric(
    name="precision",
    label="Precision",
    better="higher",
    explanation="share of generated images that lie among the real ones",
    citation="Kynkaanniemi et al. 2019, arXiv 1904.06991",
    view="whole",
    compute=_of_features(precision),
    factor=100.0,
    compared="odds ratio",
)
RECALL = replace(
    PRECISION,
    name="recall",
    label="Recall",
    explanation="share of real images that the generated ones reach",
    compute=_of_features(recall),
)
DENSITY = replace(
    PRECISION,
    name="density",
    label="Density",
    explanation="how densely real images surround the generated ones",
    citation="Naeem et al. 2020, arXiv 2002.09797",
    compute=_of_features(density),
    factor=1.0,
    compared="difference",
)
COVERAGE = replace(
    DENSITY,
    name="coverage",
    label="Coverage",
    explanation="share of real images with a generated one nearby",
    compute=_of_features(coverage),
    factor=100.0,
    compared="odds ratio",
)
