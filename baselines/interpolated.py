"""Position interpolation (PI): squeeze the grid into the span that was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class Interpolated:
    """Frequencies divided by s (Chen et al. 2023, arXiv 2306.15595; FiT's "linear").

    span: `cells` divides by n/L, as the paper and FiT do; `ends` by (n-1)/(L-1), so that the first and the last token
    lie exactly on the first and last trained position. clamp: grids below the train grid keep their frequencies.
    """

    source: ClassVar[Source] = Source(
        paper="PI, Chen et al. 2023, arXiv 2306.15595",
        aliases=("PI", "position interpolation"),
        code="whlzy/FiT@b22b7b0 fit/model/rope.py (custom_freqs='linear')",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    scale_from: ScaleFrom = "axis"
    span: Literal["cells", "ends"] = "cells"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = scale(ctx, axis, self.scale_from, clamp=False)
        if self.span == "ends":  # L s tokens, from 0 to L s - 1, onto 0 to L - 1
            L = ctx.train_grid.axis(axis)
            s = (L * s - 1) / (L - 1) if L > 1 and L * s > 1 else 1.0
        if self.clamp:
            s = max(s, 1.0)
        return (geometric(F, self.theta, device_of(ctx)) / s).float()
