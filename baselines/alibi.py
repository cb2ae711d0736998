"""ALiBi on two axes: every head subtracts its slope times the distance.

Shape suffixes: H heads, M pairs in any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings.bias import PairBias
from rpe2d_bench.encodings.source import Source

Norm = Literal["euclid", "l1"]


@dataclass(frozen=True)
class ALiBi:
    """-slope x distance between query and key, Euclid's or the sum over the axes (`l1`).

    Slopes are 2^(-8k/H) where the number of heads H is a power of two. For other numbers the released code takes those
    of the next lower power and then every second one of twice as many heads; `slopes: even` keeps 2^(-8k/H).
    """

    source: ClassVar[Source] = Source(
        paper="ALiBi, Press et al. 2022, arXiv 2108.12409, on two axes as CROMA, arXiv 2311.00566",
        code="antofuller/CROMA@59505a6 use_croma.py get_2dalibi (Euclid)",
        differs="distances of positions, so that random ones count; L1 as tldr-group/vulture@252e766 has it, without "
        "its division by the largest distance, which stretches the rule with the grid",
        clamp="none: a distance costs the same on every grid",
    )

    norm: Norm = "euclid"
    slopes: Literal["code", "even"] = "code"

    def build(self, heads: int) -> PairBias:
        even = [2 ** (-8 * (k + 1) / heads) for k in range(heads)]
        return SlopedDistance(torch.tensor(code_slopes(heads) if self.slopes == "code" else even), self.norm)


def code_slopes(heads: int) -> list[float]:
    """The slopes of ALiBi's released code, in its order, which falls only for powers of two."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (k + 1) / power) for k in range(power)]
    return slopes if power == heads else slopes + code_slopes(2 * power)[0::2][: heads - power]


class SlopedDistance(PairBias):
    """-slope x distance, a slope for each head."""

    slope_H: Tensor

    def __init__(self, slope_H: Tensor, norm: Norm) -> None:
        super().__init__()
        self.register_buffer("slope_H", slope_H, persistent=False)
        self.norm = norm

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        distance_M = euclid(dy_M, dx_M) if self.norm == "euclid" else dy_M.abs() + dx_M.abs()
        return -self.slope_H[head_M] * distance_M


def euclid(dy_M: Tensor, dx_M: Tensor) -> Tensor:
    """The length of a displacement."""
    return (dy_M * dy_M + dx_M * dx_M).sqrt()
