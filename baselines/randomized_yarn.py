"""Randomized YaRN: positions from a wide range, and frequencies already scaled to it while training."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from baselines.yarn import YaRN, YaRNLogitScale
from rpe2d_bench.encodings.axial import AxialRoPE
from rpe2d_bench.encodings.bias import LogitBias, NoBias
from rpe2d_bench.encodings.interface import Context, Frequencies, Grid, LogitScale, Positions
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


class RandomizedYaRN(AxialRoPE):
    """Axial RoPE on random positions; s is range / train grid at every grid, in training and at inference.

    So one set of frequencies and one logit scale serve all grids in the range (`max_grid` of the positions). YaRN that
    is only added at inference is `axial_rope` with random positions and a method's `frequencies: {kind: yarn}`.
    """

    source: ClassVar[Source] = Source(
        paper="Randomized YaRN, arXiv 2606.23687",
        differs="from a description of the paper; two axes, and no curriculum of lengths",
        clamp="s is that of the range at every grid",
    )

    def __init__(
        self,
        head_width: int,
        positions: Positions = RandomPositions(max_grid=(64, 64)),  # noqa: B008  (frozen values)
        frequencies: Frequencies = YaRN(),  # noqa: B008
        logit_scale: LogitScale = YaRNLogitScale(),  # noqa: B008
        theta: Theta | None = None,
        heads: int = 1,
        bias: LogitBias = NoBias(),  # noqa: B008
    ) -> None:
        super().__init__(head_width, positions, frequencies, logit_scale, theta, None, heads, bias)
        if not hasattr(positions, "max_grid"):
            raise UserError("randomized_yarn scales to the range of its positions: write positions with a max_grid")
        self.range = Grid(*positions.max_grid)

    def reference(self, ctx: Context) -> Context:
        return dataclasses.replace(ctx, grid=self.range)
