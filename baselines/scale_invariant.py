"""Scale-invariant attention: logits sharper and lower by distance, so that near and far keep their shares.

Shape suffixes: M pairs in any shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from baselines.alibi import euclid
from rpe2d_bench.encodings.bias import PairBias
from rpe2d_bench.encodings.ranges import Factor
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class ScaleInvariant:
    """a S + m at distance r, with a^2 = 2 D ln(r / tau + 1) + 1 and m = 1 - a^2: weights fall as (r / tau + 1)^-D.

    axes: D. On a line every distance has as many tokens as any other, D = 1 as published; on a plane their number grows
    with the distance, and D = 2 is the analogous condition. The paper pairs it with partial rotation (`partial_rope`)
    and reports that it does not work with a full one.
    """

    source: ClassVar[Source] = Source(
        paper="Scale-invariant attention, arXiv 2505.17083",
        differs="Euclid's distance on two axes, and axes: 2 for its condition there; the paper has one axis",
        clamp="none",
    )

    tau: Factor = 10.0
    axes: Literal[1, 2] = 2

    def build(self, heads: int) -> PairBias:
        return SharperAndLower(self.tau, self.axes)


class SharperAndLower(PairBias):
    """The factor a and the addition m, the same for every head."""

    def __init__(self, tau: float, axes: int) -> None:
        super().__init__()
        self.tau, self.axes = tau, axes

    def squared(self, dy_M: Tensor, dx_M: Tensor) -> Tensor:
        """a^2."""
        return 2 * self.axes * (euclid(dy_M, dx_M) / self.tau + 1).log() + 1

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        return (1 - self.squared(dy_M, dx_M)) + 0 * head_M

    def factor(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        return self.squared(dy_M, dx_M).sqrt()
