"""Time-aware scaled RoPE: interpolate while the image is noise, Lumina's NTK afterwards.

Shape suffixes: B batch, F rotated channel pairs of one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Share, Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, scale, time_of
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class TimeAware:
    """Frequencies / s while t > 1 - watershed, base x s from then on; s from the area.

    Lumina counts time from noise (0) to data (1) and interpolates below its watershed, 0.3.
    """

    source: ClassVar[Source] = Source(
        paper="Lumina-Next, arXiv 2406.18583 (time-aware scaled RoPE)",
        code="Alpha-VLLM/Lumina-T2X@1c60696 lumina_next_t2i_mini/models/nextdit.py precompute_freqs_cis",
        differs="as the code, a switch; the paper describes a smooth transition. The code reads the first sample's t "
        "for the whole batch, here every sample has its own",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    watershed: Share = 0.3
    scale_from: ScaleFrom = "area"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s, t_B1 = scale(ctx, axis, self.scale_from, self.clamp), time_of(ctx)[:, None]
        if s == 1:  # the same bits as extrapolation
            return geometric(F, self.theta, t_B1.device).float()
        interpolated_BF = geometric(F, self.theta, t_B1.device) / s
        ntk_BF = geometric(F, self.theta * s, t_B1.device)
        return torch.where(1 - t_B1 < self.watershed, interpolated_BF, ntk_BF).float()
