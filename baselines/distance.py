"""Distance alone: no channel turns and nothing is added to the tokens; a bias on the logits says where they are."""

from __future__ import annotations

from typing import ClassVar

from baselines.alibi import ALiBi
from rpe2d_bench.encodings.bias import LogitBias, placed
from rpe2d_bench.encodings.interface import Context, Encoding, LogitScale, PositionalEncoding, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.source import Source


class DistanceOnly(PositionalEncoding):
    """Positions x a bias on the logits x logit scale; rotation and bias together are `axial_rope` with a `bias`."""

    source: ClassVar[Source] = Source(
        paper="ALiBi, arXiv 2108.12409, on two axes; the papers of the biases",
        clamp="that of the bias: distances have no train grid",
    )

    def __init__(
        self,
        heads: int,
        positions: Positions = GridPositions(),  # noqa: B008  (frozen values)
        bias: LogitBias = ALiBi(),  # noqa: B008
        logit_scale: LogitScale = Constant(),  # noqa: B008
    ) -> None:
        super().__init__()
        self.positions, self.logit_scale, self.heads = positions, logit_scale, heads
        self.bias = bias.build(heads)

    def forward(self, ctx: Context) -> Encoding:
        return Encoding(logit_scale=self.logit_scale(ctx), bias=placed(self.bias, *self.positions(ctx), self.heads))
