"""Partial rotation: a share of the channels turns, the others carry content alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rpe2d_bench.encodings.axial import AxialRoPE
from rpe2d_bench.encodings.bias import LogitBias, NoBias
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import Context, Frequencies, LogitScale, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Share, Theta, Tokens
from rpe2d_bench.encodings.source import Source


class PartialRoPE(AxialRoPE):
    """Axial RoPE of which the first `rotated` of each axis' channels turn; the rest has frequency zero.

    spectrum: `cut` takes the frequencies of the whole width and stops the slow ones (transformers' `proportional`);
    `squeezed` spreads the whole spectrum, slowest included, over the channels that turn (GPT-NeoX).
    Every rule of frequencies applies to the channels that turn.
    """

    source: ClassVar[Source] = Source(
        paper="Krea 2 technical report, June 2026; GPT-NeoX, arXiv 2204.06745",
        aliases=("GPT-NeoX",),
        code="huggingface/transformers 5.24.0 modeling_rope_utils.py (partial_rotary_factor)",
        differs="half of each axis' channels by default, as the report; which half it has not said, here the fast one",
        clamp="that of the rules",
    )

    def __init__(
        self,
        head_width: int,
        rotated: Share = 0.5,
        spectrum: Literal["cut", "squeezed"] = "cut",
        positions: Positions = GridPositions(),  # noqa: B008  (frozen values)
        frequencies: Frequencies = Geometric(),  # noqa: B008
        logit_scale: LogitScale = Constant(),  # noqa: B008
        theta: Theta | None = None,
        scale_reference: tuple[Tokens, Tokens] | None = None,
        heads: int = 1,
        bias: LogitBias = NoBias(),  # noqa: B008
    ) -> None:
        super().__init__(head_width, positions, frequencies, logit_scale, theta, scale_reference, heads, bias)
        self.turning = round(rotated * self.channels_per_axis)
        if spectrum == "squeezed":
            self.spectrum_width = max(self.turning, 1)

    def rotation(self, ctx: Context, places: tuple[Tensor, Tensor]) -> Tensor:
        still = self.channels_per_axis - self.turning
        axes = self.angles(ctx, self.spectrum_width, places)
        return torch.cat([functional.pad(axis_BNF[..., : self.turning], (0, still)) for axis_BNF in axes], dim=-1)[
            :, None
        ]
