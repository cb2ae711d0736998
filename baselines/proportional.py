"""Proportional attention: keep the entropy of attention as the number of tokens changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.source import Source


def log_ratio(ctx: Context) -> float:
    """ln N / ln N0 for N tokens now and N0 in training; 1 where N0 = 1."""
    N0 = ctx.train_grid.tokens
    return math.log(ctx.grid.tokens) / math.log(N0) if N0 > 1 else 1.0


@dataclass(frozen=True)
class ProportionalSqrt:
    """sqrt(log_N0 N), above and below the train grid."""

    source: ClassVar[Source] = Source(
        paper="Jin et al. 2023, arXiv 2306.08645",
        code="Alpha-VLLM/Lumina-T2X@1c60696 lumina_next_t2i_mini/models/nextdit.py Attention (proportional_attn)",
        clamp="none, as published: smaller grids get less; clamp: true for N >= N0",
    )

    clamp: bool = False

    def __call__(self, ctx: Context) -> float:
        return math.sqrt(max(log_ratio(ctx), 1.0) if self.clamp else log_ratio(ctx))


@dataclass(frozen=True)
class ProportionalLog:
    """max(1, log_N0 N), without the root."""

    source: ClassVar[Source] = Source(
        paper="FiTv2, arXiv 2410.13925, eq. 15",
        differs="as the paper; the released code is `fit_code`",
        clamp="N >= N0; clamp: false for none",
    )

    clamp: bool = True

    def __call__(self, ctx: Context) -> float:
        return max(log_ratio(ctx), 1.0) if self.clamp else log_ratio(ctx)
