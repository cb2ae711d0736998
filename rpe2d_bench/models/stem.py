"""A 3x3 convolution over the tokens before the first block, zero-padded so that borders are seen (LEDiT).

Shape suffixes: B batch, N tokens, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from rpe2d_bench.encodings.interface import Grid

# Of the training batches have dilation 2; inference has 1 (arXiv 2503.04344, multi-dilation training).
DILATED_SHARE = 0.1


def draw_dilation(rng: Generator) -> int:
    """Dilation of the stem for one training batch; rng is a generator of the CPU, so that no GPU is waited for."""
    return 2 if torch.rand((), generator=rng).item() < DILATED_SHARE else 1


class DilatedConv(nn.Module):
    """Residual-free 3x3 convolution followed by a layer norm; the dilation is chosen per call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, kernel_size=3)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BND: Tensor, grid: Grid, dilation: int = 1) -> Tensor:
        planes = x_BND.transpose(1, 2).unflatten(2, (grid.height, grid.width))
        weight, bias = self.convolution.weight, self.convolution.bias
        planes = F.conv2d(planes, weight, bias, padding=dilation, dilation=dilation)
        normed: Tensor = self.norm(planes.flatten(2).transpose(1, 2))
        return normed
