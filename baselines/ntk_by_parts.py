"""NTK-by-parts: interpolated, NTK-aware and untouched channels, with two ramps between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from baselines.ntk import ntk_base
from baselines.yarn import kept
from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta, Turns, require_order
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class NTKByParts:
    """Interpolated to NTK between beta_1 and beta_0 turns over the train grid, NTK to base between gamma_1 and gamma_0.

    The four constants were found on LLaMA with 2,048 positions; on small grids they leave few channels in between.
    """

    source: ClassVar[Source] = Source(
        paper="none; bloc97's NTK-by-parts, pull request 1 of jquesnelle/yarn; FiT's `ntk-by-parts`, arXiv 2402.12376",
        code="whlzy/FiT@b22b7b0 fit/model/rope.py; jquesnelle/yarn@995db5b LlamaPartNTKScaledRotaryEmbedding.py",
        differs="where even the fastest channel makes less turns over the train grid than the slow end of a ramp (12 "
        "tokens and fewer), both codes may keep every channel, as if nothing scaled; here the ramp keeps none",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    beta_0: Turns = 1.25
    beta_1: Turns = 0.75
    gamma_0: Turns = 16.0
    gamma_1: Turns = 2.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __post_init__(self) -> None:
        require_order("frequencies ntk_by_parts", beta_0=self.beta_0, beta_1=self.beta_1)
        require_order("frequencies ntk_by_parts", gamma_0=self.gamma_0, gamma_1=self.gamma_1)

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, L = scale(ctx, axis, self.scale_from, self.clamp), ctx.train_grid.axis(axis)
        base_BF = geometric(F, self.theta, device_of(ctx))
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        ntk_BF = geometric(F, ntk_base(self.theta, s, F), base_BF.device)
        ntk_F = kept(self.beta_0, self.beta_1, F, self.theta, L, base_BF.device)
        base_F = kept(self.gamma_0, self.gamma_1, F, self.theta, L, base_BF.device)
        return by_parts(base_BF, ntk_BF, s, ntk_F, base_F)


def by_parts(base_BF: Tensor, ntk_BF: Tensor, s: float, ntk_share: Tensor, base_share: Tensor) -> Tensor:
    """Interpolated frequencies that pass into NTK's, and these into the base's, by the shares that two ramps keep."""
    scaled_BF = base_BF / s * (1 - ntk_share) + ntk_BF * ntk_share
    return (scaled_BF * (1 - base_share) + base_BF * base_share).float()
