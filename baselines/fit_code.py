"""FiT's attention scale as its released code computes it, which is not as its paper states it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class FiTCode:
    """ln(2 N) / ln N0: the code doubles N, so that even the train grid is scaled (1.125 at 16x16).

    of: `tokens` is its ntk-aware-pro2; `side` its ntk-aware-pro1, the larger side over the trained side.
    The code multiplies cos and sin of q and of k by the root, hence the square.
    """

    source: ClassVar[Source] = Source(
        paper="FiTv2, arXiv 2410.13925, eq. 15, which `proportional_log` follows",
        aliases=("FiTv2",),
        code="whlzy/FiT@b22b7b0 fit/model/rope.py get_proportion",
        differs="as the code, stray factor 2 included: at 512 px from 256 px 1.375, where the paper gives 1.25",
        clamp="1 where 2 N <= N0",
    )
    identity_at_train_grid: ClassVar[bool] = False

    of: Literal["tokens", "side"] = "tokens"

    def __call__(self, ctx: Context) -> float:
        if self.of == "tokens":
            now, trained = ctx.grid.tokens, ctx.train_grid.tokens
        else:
            now = max(ctx.grid.height, ctx.grid.width)
            trained = max(ctx.train_grid.height, ctx.train_grid.width)
        return math.log(2 * now) / math.log(trained) if 2 * now > trained > 1 else 1.0
