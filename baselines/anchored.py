"""RPE-2D that sees its own inference layout while training: a share of the images keeps it.

Shape suffixes: B batch, N tokens of one axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.encodings.ranges import Share, Tokens
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class AnchoredPositions:
    """A draw of `random` for each image, replaced by the inference layout with probability `share`.

    draw and inference are those of `random`. share 0 is `random` itself, draw for draw.
    """

    source: ClassVar[Source] = Source(
        paper="none: a rival of RPE-2D whose inference layout was trained on",
        clamp="none: positions stay in [0, max_grid - 1]",
        trained=True,
    )
    identity_at_train_grid: ClassVar[bool] = False
    example: ClassVar[dict[str, tuple[int, int]]] = {"max_grid": (64, 64)}

    max_grid: tuple[Tokens, Tokens]
    share: Share = 0.5
    draw: Literal["integer", "real", "stratified"] = "integer"
    inference: Literal["mean", "even"] = "mean"

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        rule = RandomPositions(self.max_grid, draw=self.draw, inference=self.inference)
        y_BN, x_BN = rule(ctx)
        if ctx.rng is None:
            return y_BN, x_BN
        kept_B1 = torch.rand((len(y_BN), 1), generator=ctx.rng, device=ctx.rng.device).to(y_BN.device) < self.share
        anchor_y_BN, anchor_x_BN = rule(replace(ctx, rng=None))
        return torch.where(kept_B1, anchor_y_BN, y_BN), torch.where(kept_B1, anchor_x_BN, x_BN)
