"""The logit scale of ordinary attention."""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.encodings.interface import Context


@dataclass(frozen=True)
class Constant:
    """The same factor on q.k / sqrt(head_width) at every grid; 1 is ordinary attention."""

    value: float = 1.0

    def __call__(self, ctx: Context) -> float:
        return self.value
