"""DyPE's YaRN: the two ramps of NTK-by-parts, moved along the channels as the image emerges.

Shape suffixes: B batch, F rotated channel pairs of one axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.ntk import ntk_base
from baselines.ntk_by_parts import by_parts
from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Exponent, Theta, Turns, require_order
from rpe2d_bench.encodings.scaling import ScaleFrom, scale, time_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class MovingParts(ABC):
    """What both forms share: NTK-by-parts whose four bounds, in turns over the train grid, depend on t."""

    theta: Theta = 10_000.0
    beta_0: Turns = 1.25
    beta_1: Turns = 0.75
    gamma_0: Turns = 16.0
    gamma_1: Turns = 2.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True
    bounds: Literal["held", "code"] = "held"

    def __post_init__(self) -> None:
        require_order("frequencies dype_yarn", beta_0=self.beta_0, beta_1=self.beta_1)
        require_order("frequencies dype_yarn", gamma_0=self.gamma_0, gamma_1=self.gamma_1)

    @abstractmethod
    def moved(self, turns: float, t_B1: Tensor) -> Tensor:
        """A bound at time t, [B, 1]."""

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, t_B1, L = scale(ctx, axis, self.scale_from, self.clamp), time_of(ctx)[:, None], ctx.train_grid.axis(axis)
        base_BF = geometric(F, self.theta, t_B1.device)
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        ntk_BF = geometric(F, ntk_base(self.theta, s, F), t_B1.device)
        ntk_share_BF = self.kept(self.moved(self.beta_0, t_B1), self.moved(self.beta_1, t_B1), F, L)
        base_share_BF = self.kept(self.moved(self.gamma_0, t_B1), self.moved(self.gamma_1, t_B1), F, L)
        return by_parts(base_BF, ntk_BF, s, ntk_share_BF, base_share_BF)

    def kept(self, fast_B1: Tensor, slow_B1: Tensor, F: int, L: int) -> Tensor:
        """[B, F] share that is kept: 1 up to the channel of the fast bound, 0 from that of the slow one on.

        The slow bound ends at F, as in DyPE's code. As t falls the fast bound passes F too. `held` keeps it there, so
        that every channel is kept, which is what the paper means; in the `code` the bounds cross and the ramp turns
        over, so that every channel is interpolated. Where even the fastest channel makes less turns than the slow bound
        nothing is kept; in the `code` the slow end passes below the first channel, and everything is.
        """
        correct = F / math.log(self.theta)
        low_B1 = (correct * (L / (2 * math.pi * fast_B1)).log()).floor().clamp(0, F if self.bounds == "held" else 1e6)
        slow_end_B1 = correct * (L / (2 * math.pi * slow_B1)).log()
        high_B1 = slow_end_B1.ceil().clamp(max=F)
        high_B1 = torch.where(low_B1 == high_B1, high_B1 + 0.001, high_B1)
        i_F = torch.arange(F, device=fast_B1.device, dtype=fast_B1.dtype)
        kept_BF = 1 - ((i_F - low_B1) / (high_B1 - low_B1)).clamp(0, 1)
        return kept_BF if self.bounds == "code" else torch.where(slow_end_B1 < 0, 0.0, kept_BF)


@dataclass(frozen=True)
class DyPEYaRN(MovingParts):
    """Bounds times t^exponent: the form since February 2026 and in the paper's second version."""

    source: ClassVar[Source] = Source(
        paper="DyPE, arXiv 2510.20766v2, eq. 16-17 (Dy-YaRN)",
        aliases=("DyPE",),
        code="guyyariv/DyPE@436fe61 flux/transformer_flux.py get_1d_rotary_pos_embed(yarn=True, dype=True)",
        differs="as the code, two ramps with four constants; the paper states one ramp with 1 and 32. The factor on "
        "attention is a logit scale of its own (`yarn`), there per axis. Late in sampling the code's bounds "
        "cross and it interpolates again (below t = 0.007 on Flux, but below 0.06 with theta 100 and 64 tokens); by "
        "default base frequencies stay, as the paper means it, and `bounds: code` is the code",
        clamp="s >= 1; clamp: false for none",
    )

    exponent: Exponent = 2.0

    def moved(self, turns: float, t_B1: Tensor) -> Tensor:
        return turns * t_B1**self.exponent


@dataclass(frozen=True)
class DyPEYaRN2025(MovingParts):
    """Bounds to the power of magnitude x t^exponent: the form until February 2026, which other ports still carry."""

    source: ClassVar[Source] = Source(
        paper="DyPE, arXiv 2510.20766v1 (Dy-YaRN)",
        code="guyyariv/DyPE@5dd4fab flux/transformer_flux.py get_1d_rotary_pos_embed(yarn=True, dype=True)",
        differs="on Flux (F = 28, L = 64) at t = 0.1 and s = 2 it keeps the first 7 channels whole, the 2026 form the "
        "first 13. Where even the fastest channel makes less turns than a slow bound (16 tokens and fewer near t = 1) "
        "the code keeps every channel; by default none is kept, and `bounds: code` is the code. The factor is a "
        "logit scale of its own (`yarn`), there per axis",
        clamp="s >= 1; clamp: false for none",
    )

    magnitude: Exponent = 2.0
    exponent: Exponent = 2.0

    def moved(self, turns: float, t_B1: Tensor) -> Tensor:
        return turns ** (self.magnitude * t_B1**self.exponent)
