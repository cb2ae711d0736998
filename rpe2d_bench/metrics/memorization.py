"""Memorization: are generated images nearer to the training images than to real ones never trained on?

A model that has learned the distribution is as near to one as to the other: a share of 0.5 (the nearest-neighbour
half of the data-copying test of Meehan et al. 2020, arXiv 2004.05675). A copy is much nearer to its source than to
everything held out.

Shapes: N generated, T training, M held-out images; D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score
from rpe2d_bench.metrics.precision_recall import squared_distances

NEAR_COPY = 1 / 3  # a near copy is at most this far from its source, relative to the nearest held-out image


@dataclass(frozen=True)
class Memorization:
    """Share of images nearer to training than to held-out images, its standard error, and what looks copied."""

    nearer_to_training: float
    standard_error: float  # of that share, were nothing memorized
    near_copies: float  # share of generated images
    sources: np.ndarray  # [N] int64: the nearest training image of each
    count: int  # images on the training and on the held-out side


def memorization(generated_ND: np.ndarray, training_TD: np.ndarray, held_out_MD: np.ndarray) -> Memorization:
    """Nearest training neighbour against nearest held-out neighbour, on equally many of both (the first ones)."""
    count = min(len(training_TD), len(held_out_MD))
    if not len(generated_ND) or not count:
        raise UserError("the memorization check needs generated, training and held-out images; one set is empty")
    to_training, sources = _nearest(generated_ND, training_TD[:count])
    to_held_out, _ = _nearest(generated_ND, held_out_MD[:count])
    nearer = (to_training < to_held_out) + 0.5 * (to_training == to_held_out)
    copies = to_training <= NEAR_COPY * to_held_out
    error = 0.5 / np.sqrt(len(generated_ND))
    return Memorization(float(nearer.mean()), float(error), float(copies.mean()), sources, count)


def _nearest(points_ND: np.ndarray, others_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = np.full(len(points_ND), np.inf), np.zeros(len(points_ND), np.int64)
    for rows, columns, block in squared_distances(points_ND, others_MD):
        nearer = block.min(axis=1) < distances[rows]
        indices[rows] = np.where(nearer, columns.start + block.argmin(axis=1), indices[rows])
        distances[rows] = np.minimum(distances[rows], block.min(axis=1))
    return np.sqrt(distances), indices


def _memorization(inputs: Inputs) -> Score:
    if inputs.training is None:
        raise UserError("memorization needs training images to compare with; give them or leave it out")
    found = memorization(inputs.generated.features_ND, inputs.training.features_ND, inputs.reference.features_ND)
    note = f"0.5 +- {found.standard_error:.2g} without memorization; {found.near_copies:.1%} near copies"
    return found.nearer_to_training, f"{note}; {found.count} training and held-out images"


MEMORIZATION = Metric(
    name="memorization",
    label="Memorization",
    better="lower",
    explanation="share of generated images nearer to a training image than to an unseen one; 50 % without memorization",
    citation="Meehan et al. 2020, arXiv 2004.05675",
    view="whole",
    compute=_memorization,
    factor=100.0,
    compared="odds ratio",
    training=True,
)
