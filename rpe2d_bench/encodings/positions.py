"""Deterministic positions: where the tokens are when nothing is drawn.

Shape suffixes: B batch, N tokens of one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.scaling import device_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class GridPositions:
    """0, 1, ..., n-1 along each axis: extrapolation past the train grid, nothing else."""

    source: ClassVar[Source] = Source(
        paper="RoFormer, arXiv 2104.09864; extrapolation in the tables of FiT, arXiv 2402.12376",
        code="whlzy/FiT@b22b7b0 fit/model/rope.py",
        clamp="none",
    )

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        device = device_of(ctx)
        y_BN, x_BN = (torch.arange(ctx.grid.axis(a), device=device, dtype=torch.float32)[None] for a in (0, 1))
        return y_BN, x_BN


@dataclass(frozen=True)
class CentredPositions:
    """k - (n-1)/2: the grid around its centre, so that a larger grid extends the trained one on both sides.

    Additive encodings differ from `grid`; for rotary ones only differences count and the two coincide.
    """

    source: ClassVar[Source] = Source(
        paper="the centre crop of SD3's table, arXiv 2403.03206; Qwen-Image's scale_rope",
        differs="(n-1)/2 is taken off, where Qwen-Image starts at -(n - n//2), half a token away on even sides",
        clamp="none",
    )

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y_BN, x_BN = GridPositions()(ctx)
        return y_BN - (ctx.grid.height - 1) / 2, x_BN - (ctx.grid.width - 1) / 2
