"""The plainest rival of RPE-2D: a regular grid of random stride and offset, over the same range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.encodings.ranges import Tokens
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class RandomStride:
    """o + s k while training, stride s uniform in [1, what fits in max_grid], offset o uniform in the room left.

    At inference the mean stride of the grid at hand, in the middle of the range. The same range as `random` with the
    same max_grid, without irregularity within an axis: what is left of RPE-2D against it is what irregularity does.
    """

    source: ClassVar[Source] = Source(
        paper="none: the control of RPE-2D that takes irregularity away and keeps the range",
        clamp="none: positions stay in [0, max_grid - 1]",
        trained=True,
    )
    identity_at_train_grid: ClassVar[bool] = False
    example: ClassVar[dict[str, tuple[int, int]]] = {"max_grid": (64, 64)}

    max_grid: tuple[Tokens, Tokens]
    per: Literal["sample", "batch"] = "sample"
    tied: bool = False

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        return RandomPositions(self.max_grid, "stride_jitter", self.per, self.tied, "mean", jitter=0.0)(ctx)
