"""Fractional positions: a token's place as a share of its side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class FractionalPositions:
    """k / n of each side, in tokens of the train grid: every grid spans the trained range, above and below it.

    span: `cells` is k L / n, NaViT's share of the side; `ends` is k (L-1) / (n-1), which puts the first and the last
    token on the first and the last trained position.
    """

    source: ClassVar[Source] = Source(
        paper="NaViT, arXiv 2307.06304 (fractional embeddings)",
        aliases=("NaViT",),
        differs="NaViT looks shares up in a learned table; here they are positions of any encoding, times L",
        clamp="none: smaller grids are stretched over the trained range",
    )

    span: Literal["cells", "ends"] = "cells"

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y_BN, x_BN = GridPositions()(ctx)
        return y_BN * self.stride(ctx, 0), x_BN * self.stride(ctx, 1)

    def stride(self, ctx: Context, axis: int) -> float:
        """Tokens of the train grid between two neighbours."""
        n, L = ctx.grid.axis(axis), ctx.train_grid.axis(axis)
        if self.span == "cells":
            return L / n
        return (L - 1) / (n - 1) if n > 1 and L > 1 else 1.0
