"""Fidelity and diversity apart: improved precision and recall, density and coverage.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991, eq. 1-3) with k = 3. Density and coverage: Naeem et
al. 2020 (arXiv 2002.09797, eq. 4-5) with k = 5. A ball reaches to the k-th nearest neighbour within its own set, the
point itself not counted, and is closed.

Shapes: N generated, M real; D features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rpe2d_bench.errors import UserError

NEAREST = 3
NEAREST_DENSITY = 5
_ROWS = 1024


def squared_distances(one_ND: np.ndarray, other_MD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, [rows, M] squared distances) block by block, float64."""
    other = other_MD.astype(np.float64)
    other_norms = np.square(other).sum(axis=1)
    for start in range(0, len(one_ND), _ROWS):
        rows = one_ND[start : start + _ROWS].astype(np.float64)
        block = np.square(rows).sum(axis=1)[:, None] + other_norms - 2.0 * (rows @ other.T)
        yield start, np.maximum(block, 0.0)


def radii(features_ND: np.ndarray, k: int) -> np.ndarray:
    """[N] squared distance of each point to its k-th nearest neighbour in the same set."""
    if len(features_ND) <= k:
        raise UserError(f"{len(features_ND)} pictures have no {k} nearest neighbours; at least {k + 1} are needed")
    result = np.empty(len(features_ND))
    for start, block in squared_distances(features_ND, features_ND):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf  # the point itself
        result[start : start + len(block)] = np.partition(block, k - 1, axis=1)[:, k - 1]
    return result


def _in_balls(points_ND: np.ndarray, centres_MD: np.ndarray, k: int) -> tuple[float, float]:
    """Share of the points within at least one ball of the centres, and the mean number of balls around a point."""
    reach = radii(centres_MD, k)
    inside = 0
    balls = 0
    for _, block in squared_distances(points_ND, centres_MD):
        hits = block <= reach
        inside += int(hits.any(axis=1).sum())
        balls += int(hits.sum())
    return inside / len(points_ND), balls / len(points_ND)


def precision(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST) -> float:
    """Share of generated pictures within the real manifold."""
    return _in_balls(generated_ND, real_MD, k)[0]


def recall(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST) -> float:
    """Share of real pictures within the generated manifold."""
    return _in_balls(real_MD, generated_ND, k)[0]


def density(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST_DENSITY) -> float:
    """Mean number of real balls around a generated picture, over k; can exceed 1."""
    return _in_balls(generated_ND, real_MD, k)[1] / k


def coverage(generated_ND: np.ndarray, real_MD: np.ndarray, k: int = NEAREST_DENSITY) -> float:
    """Share of real balls that hold at least one generated picture."""
    reach = radii(real_MD, k)
    covered = 0
    for start, block in squared_distances(real_MD, generated_ND):
        covered += int((block.min(axis=1) <= reach[start : start + len(block)]).sum())
    return covered / len(real_MD)
