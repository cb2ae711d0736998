"""Interpolation while the image is noise: the grid is stretched or squeezed onto the trained span, then left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Share, Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, scale, time_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class InterpolatedEarly:
    """Frequencies / s while t > above, plain from there on; with `clamp: false` small grids are stretched as well.

    Below the train grid stretching takes the error away near t = 1 and adds to it in the middle of sampling, which is
    why it is gated by time.
    """

    source: ClassVar[Source] = Source(
        paper="a trainer's log of July 2026 (grids below the train grid); published nowhere",
        differs="a switch at `above`; the log has no rule, only errors by t",
        clamp="s >= 1; clamp: false stretches smaller grids, which is what the log measured",
    )

    theta: Theta = 10_000.0
    above: Share = 0.9
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, t_B1 = scale(ctx, axis, self.scale_from, self.clamp), time_of(ctx)[:, None]
        base_BF = geometric(F, self.theta, t_B1.device)
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        return torch.where(t_B1 > self.above, base_BF / s, base_BF).float()
