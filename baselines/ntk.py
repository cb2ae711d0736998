"""NTK-aware scaling: raise the base, so that slow channels interpolate and fast ones stay."""

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
class NTK:
    """Base theta x s^(d/(d-2)), d the per-axis rotary width, so the slowest channel is exactly interpolated.

    With one channel pair there is no slowest channel to match, and nothing is scaled.
    """

    source: ClassVar[Source] = Source(
        paper="YaRN, arXiv 2309.00071 (NTK-aware); FiT's VisionNTK, arXiv 2402.12376",
        aliases=("NTK-aware", "VisionNTK"),
        code="whlzy/FiT@b22b7b0 fit/model/rope.py (custom_freqs='ntk-aware', decouple=True)",
        clamp="s >= 1; clamp: false for none",
    )

    theta: Theta = 10_000.0
    scale_from: ScaleFrom = "axis"
    clamp: bool = True

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = scale(ctx, axis, self.scale_from, self.clamp)
        return geometric(F, ntk_base(self.theta, s, F), device_of(ctx)).float()


def ntk_base(theta: float, s: float, F: int) -> float:
    """theta x s^(d/(d-2)) with d = 2F."""
    return theta * s ** (F / (F - 1)) if F > 1 else theta
