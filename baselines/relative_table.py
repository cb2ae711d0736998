"""Swin v2's continuous relative table: a small net turns a log-spaced displacement into a bias.

Shape suffixes: A axes, B batch, H heads, N tokens, M pairs in any shape, U distinct displacements of an axis.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.bias import PairBias
from rpe2d_bench.encodings.ranges import Bounds, Tokens
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class RelativeTable:
    """16 sigmoid(net(sign(d) log2(1 + 8 |d| / (L - 1)) / log2 8)), d the displacement on both axes, L of `grid`.

    grid: [height, width] whose longest displacement is 1 before the logarithm: the train grid, or the range of random
    positions. Larger grids are extrapolated by the net; the logarithm keeps them near. hidden: width of the net.
    """

    source: ClassVar[Source] = Source(
        paper="Swin Transformer V2, arXiv 2111.09883 (log-spaced continuous position bias)",
        aliases=("Swin V2", "CPB"),
        code="microsoft/Swin-Transformer@main models/swin_transformer_v2.py WindowAttention",
        differs="global attention instead of windows, dot products instead of cosines; one net serves all blocks",
        clamp="none",
    )
    example: ClassVar[dict[str, tuple[int, int]]] = {"grid": (8, 8)}

    grid: tuple[Tokens, Tokens]
    hidden: Annotated[int, Bounds(ge=1, le=4096)] = 512

    def build(self, heads: int) -> PairBias:
        return ContinuousTable(self.grid, self.hidden, heads)


class ContinuousTable(PairBias):
    """The net and its two logarithmic coordinates."""

    elementwise = False  # a net of 512 is evaluated once for every distinct displacement, not within the kernel

    def __init__(self, grid: tuple[int, int], hidden: int, heads: int) -> None:
        super().__init__()
        self.spans = tuple(max(side - 1, 1) for side in grid)
        self.net = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))
        for parameter in self.net.parameters():  # as Swin starts every linear layer
            nn.init.trunc_normal_(parameter, std=0.02) if parameter.ndim > 1 else nn.init.zeros_(parameter)

    def of_displacements(self, dy_M: Tensor, dx_M: Tensor) -> Tensor:
        """[..., H] of displacements of one shape, in float32 whatever the autocast."""
        scaled = torch.stack((dy_M / self.spans[0], dx_M / self.spans[1]), dim=-1) * 8
        coordinates = scaled.sign() * (scaled.abs() + 1).log2() / math.log2(8)
        device = dy_M.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            found: Tensor = 16 * self.net(coordinates).sigmoid()
        return found

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        dy_M, dx_M, head_M = torch.broadcast_tensors(dy_M, dx_M, head_M)
        return self.of_displacements(dy_M, dx_M).gather(-1, head_M[..., None])[..., 0]

    def dense(self, y_BN: Tensor, x_BN: Tensor, heads: int) -> tuple[Tensor, None]:
        """Each displacement that occurs once: (2h - 1)(2w - 1) of a grid, and few of integer draws."""
        dy_BNN, dx_BNN = (p[:, :, None] - p[:, None, :] for p in (y_BN, x_BN))
        if not y_BN.is_meta:
            dy_U, y_at_BNN = dy_BNN.unique(return_inverse=True)
            dx_U, x_at_BNN = dx_BNN.unique(return_inverse=True)
            if len(dy_U) * len(dx_U) < dy_BNN.numel():
                table_UUH = self.of_displacements(*torch.meshgrid(dy_U, dx_U, indexing="ij"))
                return table_UUH[y_at_BNN, x_at_BNN].movedim(-1, 1), None
        return self.of_displacements(dy_BNN, dx_BNN).movedim(-1, 1), None
