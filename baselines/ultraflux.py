"""UltraFlux's resonance: frequencies that make whole turns over the train grid, then NTK by parts.

Shape suffixes: F rotated channel pairs of one axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.ntk import ntk_base
from baselines.yarn import kept
from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class Resonance:
    """Channels that make one turn or more over the train grid are rounded to whole turns; then NTK by parts by s.

    published: `2026` is the code as it stands; `2025`, before 17 December 2025, rounds L / (2 pi frequency) instead of
    the turns L frequency / (2 pi), which moves the fastest channel the other way. The aligned exponent feeds every
    spectrum. Nothing changes up to the train grid, so frequencies jump one token past it.
    Pair with `logit_scale: {kind: yarn}`.
    """

    source: ClassVar[Source] = Source(
        paper="UltraFlux, CVPR 2026",
        aliases=("UltraFlux",),
        code="W2GenAI-Lab/UltraFlux@8dec21b (2026), @3ebe07f (2025) ultraflux/transformer_flux.py "
        "get_1d_rotary_pos_embed",
        differs="the factor on cos and sin is the logit scale `yarn`, of the larger axis, where the code has one for "
        "the channels of each axis",
        clamp="nothing at s <= 1",
    )
    identity_below_train_grid: ClassVar[bool] = True

    theta: Theta = 10_000.0
    published: Literal["2026", "2025"] = "2026"
    scale_from: ScaleFrom = "axis"

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, L = scale(ctx, axis, self.scale_from), ctx.train_grid.axis(axis)
        plain_BF = geometric(F, self.theta, device_of(ctx))
        if s == 1:  # the same bits as extrapolation
            return plain_BF.float()
        exponent_BF = self.aligned(plain_BF, L)
        base_BF = self.theta**-exponent_BF
        ntk_BF = ntk_base(self.theta, s, F) ** -exponent_BF
        ramp = (F, self.theta, L, plain_BF.device, F)  # the upper end is clamped to F, as this code alone does
        near_F, far_F = kept(1.25, 0.75, *ramp), kept(16.0, 2.0, *ramp)
        parts_BF = base_BF / s * (1 - near_F) + ntk_BF * near_F
        return (parts_BF * (1 - far_F) + base_BF * far_F).float()

    def aligned(self, plain_BF: Tensor, L: int) -> Tensor:
        """The exponent of theta, negated, after rounding to whole turns."""
        if self.published == "2025":
            turns_BF = (L / plain_BF / (2 * math.pi)).round().clamp_min(1)
            return (2 * math.pi * turns_BF / L).log() / math.log(self.theta)
        turns_BF = L * plain_BF / (2 * math.pi)
        whole_BF = 2 * math.pi * turns_BF.round().clamp_min(1) / L
        return -torch.where(turns_BF >= 1, whole_BF, plain_BF).log() / math.log(self.theta)
