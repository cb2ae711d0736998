"""Golden Gate RoPE: every channel of every head turns along a direction of its own, a golden angle from the last.

Shape suffixes: A axes (height, width), H heads, F rotated pairs of a head (head_width / 2 here), N tokens.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from baselines.mixed_rope import across
from rpe2d_bench.encodings.interface import Context, Encoding, LogitScale, PositionalEncoding, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import CentredPositions
from rpe2d_bench.encodings.ranges import Bounds
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError

SPACING = math.pi * (math.sqrt(5) - 1) / 2  # pi / golden ratio; directions count modulo pi
Magnitude = Annotated[float, Bounds(gt=0, le=1e6)]  # radians over half an image


class GoldenGateRoPE(PositionalEncoding):
    """Magnitudes log-spaced from slowest to fastest, directions i pi / golden ratio, i running on across heads.

    slowest, fastest: radians per half side of a square image. span: `grid` spreads the coordinates over the image at
    every size (interpolation by construction, as published), `train_grid` keeps a token's step as it was trained; write
    that for positions that are random. Sides are in ratio sqrt(w / h), so that the aspect is kept.
    """

    source: ClassVar[Source] = Source(
        paper="Jerry Xiong, On n-dimensional rotary positional embeddings, 2025",
        code="bnnp@5912703, archibox@fdc5bb8 GoldenGateRoPE2d",
        differs="published magnitudes, 0.2 to 20; these codes have 0.8 to 10. They turn in opposite directions, which "
        "no logit sees",
        clamp="none: every grid spans the trained range; with span: train_grid none either",
    )

    def __init__(
        self,
        head_width: int,
        heads: int,
        positions: Positions = CentredPositions(),  # noqa: B008  (frozen values)
        logit_scale: LogitScale = Constant(),  # noqa: B008
        slowest: Magnitude = 0.2,
        fastest: Magnitude = 20.0,
        span: Literal["grid", "train_grid"] = "grid",
    ) -> None:
        super().__init__()
        if fastest <= slowest:
            raise UserError(f"golden_gate: fastest {fastest:g} must lie above slowest {slowest:g}")
        self.positions, self.logit_scale, self.span = positions, logit_scale, span
        F = head_width // 2
        magnitude_F = slowest * (fastest / slowest) ** torch.linspace(0, 1, F)
        direction_HF = torch.arange(heads * F).reshape(heads, F) * SPACING
        frequencies_AHF = torch.stack((direction_HF.sin(), direction_HF.cos())) * magnitude_F
        self.register_buffer("frequencies_AHF", frequencies_AHF, persistent=False)

    frequencies_AHF: Tensor

    def forward(self, ctx: Context) -> Encoding:
        y_BY, x_BX = self.positions(ctx)
        over = ctx.grid if self.span == "grid" else ctx.train_grid
        aspect = math.sqrt(over.height / over.width)
        y_BY = y_BY * (2 * aspect / max(over.height - 1, 1))
        x_BX = x_BX * (2 / aspect / max(over.width - 1, 1))
        return Encoding(angles_BHNF=across(y_BY, x_BX, self.frequencies_AHF), logit_scale=self.logit_scale(ctx))
