"""Lumina's NTK scaling: the base times s, without the exponent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.scaling import ScaleFrom, device_of, scale
from rpe2d_bench.encodings.source import Source


@dataclass(frozen=True)
class NTKLumina:
    """Base theta x s, s from the area: weaker than `ntk`, the slowest channel is divided by s^((d-2)/d) only."""

    source: ClassVar[Source] = Source(
        paper="Lumina-T2X, arXiv 2405.05945; Lumina-Next, arXiv 2406.18583",
        aliases=("Lumina",),
        code="Alpha-VLLM/Lumina-T2X@1c60696 Next-DiT-ImageNet/models/models.py precompute_freqs_cis(ntk_factor)",
        differs="the code has no clamp; the caller turns extrapolation on",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    scale_from: ScaleFrom = "area"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = scale(ctx, axis, self.scale_from, self.clamp)
        return geometric(F, self.theta * s, device_of(ctx)).float()
