"""Inception score (Salimans et al. 2016, arXiv 1606.03498): exp of the mean KL divergence of an image's class
probabilities from their mean over images. It looks at generated images alone.

Its value grows with the count, so blocks of one size are scored and averaged: 5,000 images each, as in
openai/guided-diffusion@22e0df8, evaluations/evaluator.py. Images are shuffled first (seeded), so that a folder
sorted by class does not make blocks of few classes.

Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

BLOCK = 5000


def inception_score(logits_NK: np.ndarray, seed: int = 0) -> tuple[float, int]:
    """Mean over blocks, and how many blocks there were: as near to 5,000 images each as equal blocks can be."""
    blocks = max(1, round(len(logits_NK) / BLOCK))
    order = np.random.default_rng(seed).permutation(len(logits_NK))
    return float(np.mean([_score(logits_NK[part]) for part in np.array_split(order, blocks)])), blocks


def _score(logits_NK: np.ndarray) -> float:
    shifted = logits_NK.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    mean = p.mean(axis=0)
    # entropy of the mean minus mean entropy; a class whose probability underflows everywhere adds nothing
    kl = (p * log_p).sum(axis=1).mean() - (mean * np.log(np.where(mean > 0, mean, 1.0))).sum()
    return float(np.exp(kl))


def _inception_score(inputs: Inputs) -> Score:
    if inputs.generated.logits_NK is None:
        raise UserError(f"the Inception score needs class logits, but {inputs.generated.net} gave none")
    value, blocks = inception_score(inputs.generated.logits_NK, inputs.seed)
    count = len(inputs.generated)
    note = f"mean of {blocks} blocks of {count // blocks}" if blocks > 1 else f"one block of {count}"
    return value, note + (f"; below {BLOCK} images: biased downwards" if count < BLOCK else "")


INCEPTION_SCORE = Metric(
    name="inception_score",
    label="Inception score",
    better="higher",
    explanation="how sure and how varied the standard Inception net is",
    citation="Salimans et al. 2016, arXiv 1606.03498",
    view="whole",
    compute=_inception_score,
    logits=True,
    only="inception",
)
