"""DyPE: scale much while the image is noise, and not at all when only details remain.

Shape suffixes: B batch, F rotated channel pairs of one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from baselines.ntk import ntk_base
from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Exponent, Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, scale, time_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class DyPENTK:
    """NTK with s^(kappa(t) d/(d-2)), kappa = magnitude x t^exponent: twice NTK's exponent at t = 1, none at t = 0."""

    source: ClassVar[Source] = Source(
        paper="DyPE, arXiv 2510.20766 (Dy-NTK)",
        code="guyyariv/DyPE@436fe61 flux/transformer_flux.py FluxPosEmbed(method='ntk')",
        differs="t is the model's time; the authors' pipeline shifts it before, which a sampler may do here",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    magnitude: Exponent = 2.0
    exponent: Exponent = 2.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, t_B1 = scale(ctx, axis, self.scale_from, self.clamp), time_of(ctx)[:, None]
        if s == 1:  # the same bits as extrapolation
            return geometric(F, self.theta, t_B1.device).float()
        ratio = ntk_base(self.theta, s, F) / self.theta
        return geometric(F, self.theta * ratio ** (self.magnitude * t_B1**self.exponent), t_B1.device).float()


@dataclass(frozen=True)
class DyPEInterpolated:
    """Interpolation by s^kappa(t), kappa = magnitude x t^exponent."""

    source: ClassVar[Source] = Source(
        paper="DyPE, arXiv 2510.20766 (Dy-PI)",
        differs="the authors' code has no Dy-PI",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    magnitude: Exponent = 2.0
    exponent: Exponent = 2.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, t_B1 = scale(ctx, axis, self.scale_from, self.clamp), time_of(ctx)[:, None]
        base_BF = geometric(F, self.theta, t_B1.device)
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        return (base_BF / s ** (self.magnitude * t_B1**self.exponent)).float()
