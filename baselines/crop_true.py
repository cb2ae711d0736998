"""True coordinates of crops: train on windows of a larger image and tell the model where they lie.

Shape suffixes: B batch, N tokens of one axis; crop_B3 holds log2 of the zoom and the crop's centre (y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class CropTruePositions:
    """k + z n (1/2 + c) - n/2: where token k of a crop lies on the grid of the whole image at the crop's own scale.

    z is the zoom (the image is z n tokens wide), c the centre of the crop as a share of the image, 0 in its middle.
    Complete images (z = 1, c = 0, or no crop) have 0..n-1, and a larger grid at inference continues to positions that
    crops with a zoom have shown. Needs data with `crops:`, otherwise it is `grid`.
    """

    source: ClassVar[Source] = Source(
        paper="none: the plainest rival of random positions, native crops with their coordinates",
        trained=True,
        clamp="none",
    )

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y_BN, x_BN = GridPositions()(ctx)
        if ctx.crop_B3 is None:
            return y_BN, x_BN
        zoom_B1 = ctx.crop_B3[:, :1].float().exp2().to(y_BN.device)
        centre_B2 = ctx.crop_B3[:, 1:].float().to(y_BN.device)
        return (
            y_BN + ctx.grid.height * (zoom_B1 * (0.5 + centre_B2[:, :1]) - 0.5),
            x_BN + ctx.grid.width * (zoom_B1 * (0.5 + centre_B2[:, 1:]) - 0.5),
        )
