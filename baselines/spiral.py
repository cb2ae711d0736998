"""Spiral RoPE: axial RoPE whose channels are dealt to several pairs of perpendicular directions.

Shape suffixes: B batch, N tokens, Y rows, X columns, F channel pairs of one of two perpendicular directions.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings.axial import with_theta
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import (
    Context,
    Encoding,
    Frequencies,
    LogitScale,
    PositionalEncoding,
    Positions,
)
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Bounds, Theta
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


class SpiralRoPE(PositionalEncoding):
    """Half of the channels measure (y, x) along angle a, half along a + 90 degrees; a takes directions / 2 values.

    directions: K, uniform in half a turn. Channels go to the values of a two by two, round robin. spectrum: `dealt`
    gives every direction other frequencies of one spectrum, `shared` the same ones, fewer, to all. 2 directions are
    `axial_rope`. Every rule of frequencies applies; the code's fastest frequency of 1.5 is left to it.
    """

    source: ClassVar[Source] = Source(
        paper="Spiral RoPE, arXiv 2602.03227",
        code="huajianduzhuo-code/Spiral_RoPE@bde84ff RoPE_DeiT/rope.py VisionRotaryEmbedding (same_theta for `shared`)",
        differs="the directions themselves: the code turns a map of angles by bilinear resampling with clamped "
        "borders, up to 1.45 rad off at 8x8, on squares only; where it is not clamped the two agree",
        clamp="that of the rules",
    )

    def __init__(
        self,
        head_width: int,
        positions: Positions = GridPositions(),  # noqa: B008  (frozen values)
        frequencies: Frequencies = Geometric(),  # noqa: B008
        logit_scale: LogitScale = Constant(),  # noqa: B008
        theta: Theta | None = None,
        directions: Annotated[int, Bounds(ge=2, le=64, multiple_of=2)] = 4,
        spectrum: Literal["dealt", "shared"] = "dealt",
    ) -> None:
        super().__init__()
        F, angles = head_width // 4, directions // 2
        if head_width % 4 or (F % (2 * angles) and directions > 2):
            raise UserError(
                f"spiral with {directions} directions needs a head width that is a multiple of {8 * angles}, "
                f"got {head_width}"
            )
        self.positions, self.logit_scale = positions, logit_scale
        self.frequencies = with_theta(frequencies, theta)
        pair_F = torch.arange(F)
        self.register_buffer("angle_F", (pair_F // 2 % angles) * (math.pi / directions), persistent=False)
        shared_F = 2 * (pair_F // (2 * angles)) + pair_F % 2
        self.register_buffer("channel_F", shared_F if spectrum == "shared" else pair_F, persistent=False)
        self.spectrum_width = F // angles if spectrum == "shared" else F

    angle_F: Tensor
    channel_F: Tensor

    def forward(self, ctx: Context) -> Encoding:
        y_BY, x_BX = self.positions(ctx)
        h_BF, w_BF = (self.frequencies(ctx, axis, self.spectrum_width)[:, self.channel_F] for axis in (0, 1))
        y_BNF = (y_BY[:, :, None, None] * h_BF[:, None, None]).expand(-1, -1, ctx.grid.width, -1).flatten(1, 2)
        x_BNF = (x_BX[:, None, :, None] * w_BF[:, None, None]).expand(-1, ctx.grid.height, -1, -1).flatten(1, 2)
        cos_F, sin_F = self.angle_F.cos(), self.angle_F.sin()
        angles_BNF = torch.cat((cos_F * y_BNF + sin_F * x_BNF, cos_F * x_BNF - sin_F * y_BNF), dim=-1)
        return Encoding(angles_BHNF=angles_BNF[:, None], logit_scale=self.logit_scale(ctx))
