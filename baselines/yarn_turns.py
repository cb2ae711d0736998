"""YaRN as its paper states it: the ramp is linear in turns over the train grid, not in channel index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta, Turns
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


@dataclass(frozen=True)
class YaRNTurns:
    """Kept share (r - alpha) / (beta - alpha), clipped to [0, 1], of a channel that makes r turns over L positions.

    With the paper's alpha = 1 and beta = 32 (for LLaMA) the fastest channel of a 16-token side makes 2.5 turns and
    keeps 5 %: on small grids this is nearly interpolation, where `yarn` keeps the fastest channel whole.
    """

    source: ClassVar[Source] = Source(
        paper="YaRN, arXiv 2309.00071 (NTK-by-parts ramp)",
        differs="as the paper; the authors' code is `yarn`",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    alpha: Turns = 1.0
    beta: Turns = 32.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __post_init__(self) -> None:
        if not self.alpha < self.beta:
            raise UserError(f"frequencies yarn_turns: alpha {self.alpha:g} must lie below beta {self.beta:g}")

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = scale(ctx, axis, self.scale_from, self.clamp)
        base_BF = geometric(F, self.theta, device_of(ctx))
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        turns_BF = ctx.train_grid.axis(axis) * base_BF / (2 * math.pi)
        kept_BF = ((turns_BF - self.alpha) / (self.beta - self.alpha)).clamp(0, 1)
        return (base_BF / s * (1 - kept_BF) + base_BF * kept_BF).float()
