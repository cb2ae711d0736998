"""YaRN: interpolate slow channels, keep fast ones, ramp between, and sharpen attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Bounds, Theta, Turns, require_order
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale, wide
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class YaRN:
    """The reference code's ramp, linear in channel index between floor and ceil of two corrections (32 and 1 turns).

    Source: jquesnelle/yarn; per axis as FiT's VisionYaRN. The paper's ramp, linear in turns, is `yarn_turns`: on small
    grids the two differ. Pair with `logit_scale: {kind: yarn}`.
    """

    source: ClassVar[Source] = Source(
        paper="YaRN, arXiv 2309.00071; FiT's VisionYaRN, arXiv 2402.12376",
        aliases=("VisionYaRN",),
        code="whlzy/FiT@b22b7b0 fit/model/rope.py (custom_freqs='yarn', decouple=True); "
        "jquesnelle/yarn@995db5b LlamaYaRNScaledRotaryEmbedding.py",
        differs="as the code: the paper's ramp is linear in turns (`yarn_turns`). At 16 tokens a side and F = 18 the "
        "code keeps 1, 0.5, 0, ... of the fastest channels, the paper 0.05, 0.02, 0, ... Where even the fastest "
        "channel makes less than beta_slow turns over the train grid (6 tokens and fewer) every channel is "
        "interpolated, as the paper means it; the code's ramp turns over there and keeps the first or all. The factor "
        "on attention is the logit scale of the same name",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    beta_fast: Turns = 32.0
    beta_slow: Turns = 1.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __post_init__(self) -> None:
        require_order("frequencies yarn", beta_fast=self.beta_fast, beta_slow=self.beta_slow)

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = scale(ctx, axis, self.scale_from, self.clamp)
        base_BF = geometric(F, self.theta, device_of(ctx))
        if s == 1:  # the same bits as extrapolation
            return base_BF.float()
        kept_F = kept(self.beta_fast, self.beta_slow, F, self.theta, ctx.train_grid.axis(axis), base_BF.device)
        return (base_BF / s * (1 - kept_F) + base_BF * kept_F).float()


def correction(turns: float, F: int, theta: float, L: int) -> float:
    """The channel index that makes that many turns over L positions: d ln(L / (2 pi turns)) / (2 ln theta)."""
    return F * math.log(L / (2 * math.pi * turns)) / math.log(theta)


def index_range(fast: float, slow: float, F: int, theta: float, L: int) -> tuple[float, float]:
    """Where the ramp starts and ends. The upper clamp is d - 1, not F - 1: every released code has it."""
    return (
        max(math.floor(correction(fast, F, theta, L)), 0),
        min(math.ceil(correction(slow, F, theta, L)), 2 * F - 1),
    )


def kept(
    fast: float, slow: float, F: int, theta: float, L: int, device: torch.device, last: int | None = None
) -> Tensor:
    """[F] share of the unscaled frequency: the index ramp, and its limit where its ends change places.

    A ramp between channels of `fast` and of `slow` turns keeps nothing where even the fastest channel makes less than
    `slow` turns over L positions, and everything where even the slowest makes more than `fast`. The released codes
    clamp the two ends apart from each other; there the ramp would turn over. last: a lower clamp of the upper end.
    """
    if correction(slow, F, theta, L) < 0:
        return torch.zeros(F, device=device, dtype=wide(device))
    low, high = index_range(fast, slow, F, theta, L)
    if low > high:
        return torch.ones(F, device=device, dtype=wide(device))
    return kept_by_index(low, high if last is None else min(high, last), F, device)


def kept_by_index(low: float, high: float, F: int, device: torch.device) -> Tensor:
    """Share of the unscaled frequency per channel: 1 up to low, 0 from high on. An empty ramp is 0.001 wide."""
    if low == high:
        high += 0.001
    i_F = torch.arange(F, device=device, dtype=wide(device))
    return 1 - ((i_F - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True)
class YaRNLogitScale:
    """(factor ln s + 1)^2: YaRN multiplies cos and sin of both q and k by 0.1 ln s + 1, hence the square on the logits.

    Source: arXiv 2309.00071 (attention temperature); s from the larger axis, as FiT.
    """

    source: ClassVar[Source] = Source(
        paper="YaRN, arXiv 2309.00071 (attention temperature)",
        code="whlzy/FiT@b22b7b0 fit/model/rope.py get_mscale",
        differs="s from the larger axis, as FiT; DyPE scales the channels of each axis by its own factor",
        clamp="s >= 1; clamp: false for none",
    )

    factor: Annotated[float, Bounds(ge=0, le=10)] = 0.1
    scale_from: ScaleFrom = "larger"
    clamp: bool = True

    def __call__(self, ctx: Context) -> float:
        return (self.factor * math.log(scale(ctx, 0, self.scale_from, self.clamp)) + 1) ** 2
