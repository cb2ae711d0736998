"""Attention-entropy deviation: how much wider or narrower attention is on this grid than on the train grid.

The entropy of an attention row is between 0 (one token) and log N (all N alike). More tokens mean more entropy: with
the weights of a uniform row by log N, so that a model whose attention does not adapt spreads over everything (Jin et
al. 2023, arXiv 2306.08645, from which proportional attention follows). Two numbers say so, each the mean over heads,
layers, rows, images and times, minus the same on the train grid: entropy over log N, and entropy in nats.

What the model looks at is real images of the evaluated split, noised: the same for every method, in the distribution
that the model knows, and independent of the sampler's guidance. The train grid is seen with the encoding of training.

Shape suffixes: B batch, H heads, M rows (queries), N tokens (keys), L layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

RELATIVE, NATS = "attention_entropy", "attention_entropy_nats"
IMAGES = 16
TIMES = (0.75, 0.5, 0.25)  # the sampler's steps nearest to these are looked at


@dataclass(frozen=True)
class AttentionEntropy:
    """Mean entropy of attention rows in nats, by layer and head, on a grid of so many tokens."""

    nats_LH: np.ndarray
    tokens: int

    @property
    def nats(self) -> float:
        return float(self.nats_LH.mean())

    @property
    def relative(self) -> float:
        """Share of the most that the grid allows."""
        return self.nats / math.log(self.tokens) if self.tokens > 1 else 0.0


def row_entropy(logits_BHMN: Tensor) -> Tensor:
    """Entropy [B, H, M] in nats of softmax rows; -inf logits are tokens that a row may not see."""
    log_p = logits_BHMN.float().log_softmax(dim=-1)
    p = log_p.exp()
    return -(p * log_p.masked_fill(p == 0, 0.0)).sum(dim=-1)


def nearest(ts: list[float]) -> list[float]:
    """The times at which attention is looked at: of these, the nearest to `TIMES`, each once."""
    return list(dict.fromkeys(min(ts, key=lambda t: abs(t - aim)) for aim in TIMES))


def deviation(now: AttentionEntropy, trained: AttentionEntropy) -> dict[str, float]:
    """The two values by name."""
    return {RELATIVE: now.relative - trained.relative, NATS: now.nats - trained.nats}


def details(now: AttentionEntropy, trained: AttentionEntropy, ts: list[float], images: int) -> dict[str, Any]:
    """What a reader may ask about them."""
    scale, trained_scale = (math.log(max(side.tokens, 2)) for side in (now, trained))
    by_layer = now.nats_LH.mean(axis=1) / scale - trained.nats_LH.mean(axis=1) / trained_scale
    return {
        "tokens": now.tokens, "nats": now.nats, "relative": now.relative,
        "train_tokens": trained.tokens, "train_nats": trained.nats, "train_relative": trained.relative,
        "deviation_by_layer": [round(float(value), 6) for value in by_layer],
        "seen": f"{images} real images, noised to t = {', '.join(f'{t:.3g}' for t in ts)}",
    }  # fmt: skip


ATTENTION_ENTROPY = Metric(
    name=RELATIVE,
    label="Attention entropy",
    better="neither",
    explanation="entropy of attention rows over the most that the grid allows, minus the same on the train grid:"
    " above 0 attention is spread wider",
    citation="after Jin et al. 2023, arXiv 2306.08645",
    view="model",
    compute=None,
)
ATTENTION_ENTROPY_NATS = replace(
    ATTENTION_ENTROPY,
    name=NATS,
    label="Attention entropy, nats",
    explanation="entropy of attention rows minus that on the train grid",
)
