"""HRDiT's bundles: neighbouring tokens share a position, and attention is averaged over shifted bundles.

Shape suffixes: B batch, N tokens of one axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Stretch
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class BundledPositions:
    """0 for index x < a, else ceil((x + 1 - a) / b), a = 1..b; outputs of attention averaged over shifts of a.

    b = max(1, ceil((n - 1) / (slack L - 1))): interpolation by a whole number without positions between the trained
    ones. slack: positions that are allowed, in sides L of the train grid; 80 where 64 were trained, as published.
    At 1.5x b is 2. Costs b_height + b_width - 1 kernel calls where others cost one; for `axial_rope` without a bias.
    """

    source: ClassVar[Source] = Source(
        paper="HRDiT, arXiv 2608.07003 (spatial position alignment)",
        aliases=("HRDiT",),
        code="zylwithxy/HRDiT@e4aa8c6 hrdit/spa.py build_bundle_id_variants",
        differs="at every step, where HRDiT bundles in its first 3 steps at 2K and never at 4K; its theta, its logit "
        "scale and its cascade are rules of their own",
        clamp="nothing at s <= slack",
    )
    repeats_positions: ClassVar[bool] = True

    slack: Stretch = 1.25

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        return self.bundles(ctx)[0]

    def bundles(self, ctx: Context) -> list[tuple[Tensor, Tensor]]:
        """Every layout of the average: both axes unshifted, then either of them at each shift."""
        y_BN, x_BN = GridPositions()(ctx)
        b_y, b_x = (self.size(ctx, axis) for axis in (0, 1))
        shifts = [(b_y, b_x), *((a, b_x) for a in range(1, b_y)), *((b_y, a) for a in range(1, b_x))]
        return [(bundle(y_BN, a_y, b_y), bundle(x_BN, a_x, b_x)) for a_y, a_x in shifts]

    def size(self, ctx: Context, axis: int) -> int:
        """b of an axis: tokens that share a position."""
        allowed = round(self.slack * ctx.train_grid.axis(axis))
        return max(1, math.ceil((ctx.grid.axis(axis) - 1) / max(allowed - 1, 1)))


def bundle(x_BN: Tensor, a: int, b: int) -> Tensor:
    """The bundle of every index when the first one ends before index a."""
    return torch.where(x_BN < a, 0.0, ((x_BN + 1 - a) / b).ceil())
