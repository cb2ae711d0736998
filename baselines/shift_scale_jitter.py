"""CAPE: train on positions that are shifted, scaled and jittered at random.

Shape suffixes: B batch, N tokens of one axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Generator, Tensor

from baselines.fractional import FractionalPositions
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Bounds, Stretch
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


@dataclass(frozen=True)
class ShiftScaleJitter:
    """(p + shift + jitter) x scale of centred positions p while training; p itself at inference.

    layout: `fractional` spans every grid over the trained range (CAPE for images, DINOv3), `grid` keeps stride 1.
    max_shift: half-sides of the train grid, uniform per axis. max_local: tokens between the extremes of each token's
    own jitter, below 1 so that order survives. max_scale: log-uniform in [1/max, max], one for both axes.
    max_axis_scale: likewise, one per axis. per: one draw for every sample, or one for the batch.
    DINOv3's augmentation is max_local 0, max_axis_scale its jitter_coords, max_scale its rescale_coords, per batch.
    """

    source: ClassVar[Source] = Source(
        paper="CAPE, arXiv 2106.03143; DINOv3, arXiv 2508.10104",
        trained=True,
        aliases=("CAPE",),
        code="gcambara/cape@058df08 cape/cape.py; facebookresearch/dinov3@6876159 layers/rope_position_encoding.py",
        differs="positions in tokens of the train grid n, not in [-1, 1]: DINOv3's angles are 4 pi / n times ours;"
        " jitter per row and column, not per token",
        clamp="none",
    )
    identity_at_train_grid: ClassVar[bool] = True  # at inference; the draws are never the identity

    max_shift: Annotated[float, Bounds(ge=0, le=1000)] = 0.5
    max_local: float = 0.5
    max_scale: Stretch = 1.4
    max_axis_scale: Stretch = 1.0
    layout: Literal["fractional", "grid"] = "fractional"
    per: Literal["sample", "batch"] = "sample"

    def __post_init__(self) -> None:
        if self.max_shift < 0 or not 0 <= self.max_local < 1:
            raise UserError("positions shift_scale_jitter: max_shift is 0 or more, and 0 <= max_local < 1 keeps order")
        if self.max_scale < 1 or self.max_axis_scale < 1:
            raise UserError("positions shift_scale_jitter: max_scale and max_axis_scale are 1 or more")

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y_BN, x_BN = (FractionalPositions() if self.layout == "fractional" else GridPositions())(ctx)
        y_BN, x_BN = y_BN - y_BN.mean(), x_BN - x_BN.mean()
        if ctx.rng is None:
            return y_BN, x_BN
        rows = ctx.batch if self.per == "sample" else 1
        common_B1 = log_uniform(rows, self.max_scale, ctx.rng)
        return self.augmented(y_BN, rows, common_B1, ctx, 0), self.augmented(x_BN, rows, common_B1, ctx, 1)

    def augmented(self, p_BN: Tensor, rows: int, common_B1: Tensor, ctx: Context, axis: int) -> Tensor:
        assert ctx.rng is not None
        stride = FractionalPositions().stride(ctx, axis) if self.layout == "fractional" else 1.0
        shift_B1 = symmetric((rows, 1), self.max_shift * ctx.train_grid.axis(axis) / 2, ctx.rng)
        local_BN = symmetric((rows, p_BN.shape[1]), self.max_local * stride / 2, ctx.rng)
        scale_B1 = common_B1 * log_uniform(rows, self.max_axis_scale, ctx.rng)
        return ((p_BN.to(ctx.rng.device) + shift_B1 + local_BN) * scale_B1).to(p_BN.device)


def symmetric(shape: tuple[int, int], most: float, rng: Generator) -> Tensor:
    """Uniform in [-most, most)."""
    return (torch.rand(shape, generator=rng, device=rng.device) * 2 - 1) * most


def log_uniform(rows: int, most: float, rng: Generator) -> Tensor:
    """[rows, 1] with a logarithm uniform in [-log most, log most)."""
    return symmetric((rows, 1), math.log(most), rng).exp()
