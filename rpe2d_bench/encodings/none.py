"""No positional encoding at all: what does attention learn from content and from the rest of the model alone?"""

from __future__ import annotations

from rpe2d_bench.encodings.interface import Context, Encoding, LogitScale, PositionalEncoding
from rpe2d_bench.encodings.logit_scales import Constant


class NoEncoding(PositionalEncoding):
    """Adds nothing, rotates nothing; only the logit scale may change with the grid."""

    def __init__(self, logit_scale: LogitScale = Constant()) -> None:  # noqa: B008  (a frozen value)
        super().__init__()
        self.logit_scale = logit_scale

    def forward(self, ctx: Context) -> Encoding:
        return Encoding(logit_scale=self.logit_scale(ctx))
