"""UltraImage's correction: stretch the channel whose period fits the train grid over the new one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta, Tokens
from rpe2d_bench.encodings.scaling import device_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class Dominant:
    """The channel whose period is nearest the trained side turns once round the new side: 2 pi / n.

    rounds: how many channels are corrected, each time the nearest of those that remain. Only slows channels down, and
    changes nothing up to the train grid.
    """

    source: ClassVar[Source] = Source(
        paper="UltraImage, arXiv 2512.04504 (dominant frequency correction)",
        aliases=("UltraImage",),
        differs="no public code. The paper detects the repetition in generated images and recurses; here it is the "
        "train grid, and `rounds` repeats the correction. Its entropy-guided attention is not a frequency rule",
        clamp="nothing at s <= 1",
    )

    identity_below_train_grid: ClassVar[bool] = True

    theta: Theta = 10_000.0
    rounds: Tokens = 1

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        n, L = ctx.grid.axis(axis), ctx.train_grid.axis(axis)
        frequencies_BF = geometric(F, self.theta, device_of(ctx))
        if n <= L:
            return frequencies_BF.float()
        periods = [2 * math.pi * self.theta ** (i / F) for i in range(F)]
        nearest = sorted(range(F), key=lambda i: abs(periods[i] - L))[: self.rounds]
        place_F = torch.arange(F, device=frequencies_BF.device)
        chosen_F = torch.stack([place_F == i for i in nearest]).any(0)  # no copy, for which a GPU would be waited for
        return torch.where(chosen_F, frequencies_BF.clamp(max=2 * math.pi / n), frequencies_BF).float()
