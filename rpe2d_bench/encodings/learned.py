"""A learned table, resized to the grid: the embedding of ViT and DeiT.

Shape suffixes: B batch, N tokens, D model width, Y rows, X columns.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rpe2d_bench.encodings.interface import Context, Encoding, Grid, LogitScale, PositionalEncoding
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.ranges import Bounds
from rpe2d_bench.encodings.source import Source

Side = Annotated[int, Bounds(ge=1, le=1024)]  # tokens, each with a vector of its own


class LearnedTable(PositionalEncoding):
    """One learned vector per token of `grid`, resized bicubically to other grids (DeiT, arXiv 2012.12877).

    grid: [height, width] of the table, the train grid. At that grid the table itself is used: bicubic resampling
    would change its values even at equal size (facebookresearch/deit pull request 43). Normal start of std 0.02.
    """

    source: ClassVar[Source] = Source(
        paper="ViT, arXiv 2010.11929; resized as DeiT, arXiv 2012.12877",
        code="facebookresearch/deit pull request 43",
        differs="not resized at the train grid, where bicubic resampling would change the values",
        clamp="none: smaller grids are resized too",
    )

    example: ClassVar[dict[str, tuple[int, int]]] = {"grid": (8, 8)}

    def __init__(self, width: int, grid: tuple[Side, Side], logit_scale: LogitScale = Constant()) -> None:  # noqa: B008
        super().__init__()
        self.grid, self.logit_scale = Grid(*grid), logit_scale
        self.table_BDYX = nn.Parameter(torch.randn(1, width, *grid) * 0.02)

    def forward(self, ctx: Context) -> Encoding:
        table_BDYX: Tensor = self.table_BDYX
        if ctx.grid != self.grid:
            size = (ctx.grid.height, ctx.grid.width)
            table_BDYX = functional.interpolate(table_BDYX.float(), size=size, mode="bicubic", align_corners=False)
        return Encoding(additive_BND=table_BDYX.flatten(2).mT, logit_scale=self.logit_scale(ctx))
