"""RoPE-Mixed: every channel of every head learns its own direction across the plane.

Shape suffixes: A axes (height, width), B batch, H heads, N tokens, F rotated pairs of a head (head_width / 2 here).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.interface import Context, Encoding, LogitScale, PositionalEncoding, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


def across(y_BY: Tensor, x_BX: Tensor, frequencies_AHF: Tensor) -> Tensor:
    """[B|1, H, N, F] y f_y + x f_x of channels that turn along any direction."""
    y_BHYF = y_BY[:, None, :, None] * frequencies_AHF[0][None, :, None]
    x_BHXF = x_BX[:, None, :, None] * frequencies_AHF[1][None, :, None]
    return (y_BHYF[:, :, :, None] + x_BHXF[:, :, None]).flatten(2, 3)


class MixedRoPE(PositionalEncoding):
    """Angle = y f_y + x f_x with learned f per head (Heo et al. 2024, arXiv 2403.13298, RoPE-Mixed).

    Start: geometric magnitudes in two perpendicular directions, turned by one random angle per head, as rope-vit.
    """

    source: ClassVar[Source] = Source(
        paper="Heo et al. 2024, arXiv 2403.13298 (RoPE-Mixed)",
        aliases=("RoPE-Mixed",),
        code="naver-ai/rope-vit@ce85c2e deit/models_v2_rope.py init_random_2d_freqs, compute_mixed_cis",
        differs="one set of frequencies serves all layers, where rope-vit learns one per layer",
        clamp="none",
    )

    def __init__(
        self,
        head_width: int,
        heads: int,
        positions: Positions = GridPositions(),  # noqa: B008  (frozen values)
        logit_scale: LogitScale = Constant(),  # noqa: B008
        theta: Theta = 10.0,
    ) -> None:
        super().__init__()
        if head_width < 4 or head_width % 4:
            raise UserError(f"mixed_rope needs a head width that is a multiple of 4, got {head_width}")
        self.positions, self.logit_scale = positions, logit_scale
        self.frequencies_AHF = nn.Parameter(self.start(head_width, theta, torch.rand(heads) * 2 * math.pi))

    def forward(self, ctx: Context) -> Encoding:
        angles_BHNF = across(*self.positions(ctx), self.frequencies_AHF.float())
        return Encoding(angles_BHNF=angles_BHNF, logit_scale=self.logit_scale(ctx))

    @staticmethod
    def start(head_width: int, theta: float, direction_H: Tensor) -> Tensor:
        """[2, heads, head_width / 2]: magnitudes theta^(-4k/head_width) along a direction, then perpendicular to it."""
        quarter = head_width // 4
        magnitude = theta ** (-torch.arange(quarter) / quarter)
        angle_H1 = direction_H[:, None]
        perpendicular_H1 = angle_H1 + math.pi / 2
        y_HF = torch.cat((magnitude * angle_H1.sin(), magnitude * perpendicular_H1.sin()), dim=-1)
        x_HF = torch.cat((magnitude * angle_H1.cos(), magnitude * perpendicular_H1.cos()), dim=-1)
        return torch.stack((y_HF, x_HF))
