"""The logit scale of ordinary attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Factor
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class Constant:
    """The same factor on q.k / sqrt(head_width) at every grid; 1 is ordinary attention."""

    source: ClassVar[Source] = Source(paper="ordinary attention", clamp="nothing depends on s")

    identity_below_train_grid: ClassVar[bool] = True

    value: Factor = 1.0

    def __call__(self, ctx: Context) -> float:
        return self.value
