"""T5's relative buckets on two axes: near distances each, far ones in logarithmic groups.

Shape suffixes: A axes, H heads, K buckets, M pairs in any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.bias import PairBias
from rpe2d_bench.encodings.ranges import Bounds
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


@dataclass(frozen=True)
class RelativeBuckets:
    """A learned number per head, axis and bucket of signed distance, the two axes added.

    buckets: half of them for each sign; of these half hold one distance each, the others grow by a constant factor up
    to max_distance, beyond which all distances share the last one.
    """

    source: ClassVar[Source] = Source(
        paper="T5, arXiv 1910.10683; on two axes as LayoutLMv3, arXiv 2204.08387",
        aliases=("T5",),
        code="huggingface/transformers 5.24.0 T5Attention._relative_position_bucket",
        differs="positions may be real, distances are rounded down; LayoutLMv3 counts rows from the bottom edge",
        clamp="none",
    )

    buckets: Annotated[int, Bounds(ge=4, le=1024, multiple_of=4)] = 32
    max_distance: Annotated[int, Bounds(ge=2, le=65_536)] = 128

    def __post_init__(self) -> None:
        if self.max_distance <= self.buckets // 4:
            raise UserError(
                f"bias relative_buckets: max_distance {self.max_distance} must lie above the {self.buckets // 4} "
                f"distances that have a bucket each; write {self.buckets // 4 + 1} or more"
            )

    def build(self, heads: int) -> PairBias:
        return Buckets(self.buckets, self.max_distance, heads)


class Buckets(PairBias):
    """The two tables, from a normal start of std 0.02."""

    def __init__(self, buckets: int, max_distance: int, heads: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.table_AHK = nn.Parameter(torch.randn(2, heads, buckets) * 0.02)

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        return self.table_AHK[0, head_M, self.bucket(dy_M)] + self.table_AHK[1, head_M, self.bucket(dx_M)]

    def bucket(self, d_M: Tensor) -> Tensor:
        """Index of the bucket of the query's position minus the key's; keys behind the query come second."""
        half = self.table_AHK.shape[2] // 2
        exact = half // 2
        distance_M = d_M.abs().floor()
        grown_M = (distance_M.clamp_min(1) / exact).log() / math.log(self.max_distance / exact) * (half - exact)
        far_M = (exact + grown_M.floor()).clamp_max(half - 1)
        return torch.where(distance_M < exact, distance_M, far_M).long() + half * (d_M < 0).long()
