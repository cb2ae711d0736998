"""RIFLEx: slow down the one channel whose period is where repetition starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Factor, Theta, Tokens
from rpe2d_bench.encodings.scaling import device_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class RIFLEx:
    """The channel whose rounded period is nearest the repetition length turns margin times round the new side.

    repetition: tokens after which images repeat, by default the side of the train grid. margin: 0.9 in the code.
    Nothing changes up to the train grid, nor while the side is no longer than that period.
    """

    source: ClassVar[Source] = Source(
        paper="RIFLEx, arXiv 2502.15894, eq. 7-8",
        code="thu-ml/RIFLEx@18e0bc3 riflex_utils.py",
        differs="made for the time axis of video, here on both axes; the paper has no 0.9. That it acts only past the "
        "period is from the authors' pull request 411 of kijai/ComfyUI-HunyuanVideoWrapper",
        clamp="nothing at s <= 1",
    )

    identity_below_train_grid: ClassVar[bool] = True

    theta: Theta = 10_000.0
    repetition: Tokens | None = None
    margin: Factor = 0.9

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        n, L = ctx.grid.axis(axis), ctx.train_grid.axis(axis)
        frequencies_BF = geometric(F, self.theta, device_of(ctx))
        periods = [round(2 * math.pi * self.theta ** (i / F)) for i in range(F)]
        k = min(range(F), key=lambda i: abs(periods[i] - (self.repetition or L)))
        if n > max(L, periods[k]):
            i_F = torch.arange(F, device=frequencies_BF.device)
            frequencies_BF = torch.where(i_F == k, self.margin * 2 * math.pi / n, frequencies_BF)
        return frequencies_BF.float()
