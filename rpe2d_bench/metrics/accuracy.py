"""Accuracy of an independent classifier: does it see the class that was asked for? (Classification accuracy score's
sanity half; the judge is never the net whose features the distances use, so that one net's blind spot is not both.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

if TYPE_CHECKING:
    from rpe2d_bench.metrics.nets.features import Features


def accuracy(judged: Features, labels_N: np.ndarray) -> float:
    """Share of images whose most likely class is their label."""
    if len(judged) != len(labels_N):
        raise UserError(f"{len(judged)} images but {len(labels_N)} labels; each image needs its label")
    if judged.logits_NK is None:
        raise UserError(f"{judged.net} has no classes; choose a classifier as judge")
    classes = judged.logits_NK.shape[1]
    if len(labels_N) and not 0 <= labels_N.min() <= labels_N.max() < classes:
        raise UserError(
            f"labels run from {labels_N.min()} to {labels_N.max()}, but {judged.net} knows classes 0 to {classes - 1}"
        )
    return float((judged.predictions_N == labels_N).mean())


def _accuracy(inputs: Inputs) -> Score:
    if inputs.labels is None:
        raise UserError("accuracy needs the class each image was asked to show; give labels or leave it out")
    return accuracy(inputs.generated, inputs.labels), ""


ACCURACY = Metric(
    name="accuracy",
    label="Accuracy",
    better="higher",
    explanation="share of generated images in which an independent classifier sees the class that was asked for",
    citation="Ravuri & Vinyals 2019, arXiv 1905.10887 (a fixed judge)",
    view="judge",
    compute=_accuracy,
    factor=100.0,
    compared="odds ratio",
    logits=True,
)
