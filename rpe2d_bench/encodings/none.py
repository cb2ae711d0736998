"""No positional encoding at all: what does attention learn from content and from the rest of the model alone?"""

from __future__ import annotations

from typing import ClassVar

from rpe2d_bench.encodings.interface import Context, Encoding, LogitScale, PositionalEncoding
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.source import Source


class NoEncoding(PositionalEncoding):
    """Adds nothing, rotates nothing; only the logit scale may change with the grid."""

    source: ClassVar[Source] = Source(
        paper="no encoding (NoPE); with `scan: alternate`, `stem: dilated_conv` and `proportional_sqrt` it is LEDiT, "
        "arXiv 2503.04344",
        differs="LEDiT has no public code; its causal blocks and its convolution are options of the model",
        clamp="that of the logit scale",
    )

    def __init__(self, logit_scale: LogitScale = Constant()) -> None:  # noqa: B008  (a frozen value)
        super().__init__()
        self.logit_scale = logit_scale

    def forward(self, ctx: Context) -> Encoding:
        return Encoding(logit_scale=self.logit_scale(ctx))
