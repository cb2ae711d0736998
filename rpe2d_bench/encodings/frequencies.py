"""The frequencies a rotary or sin-cos encoding starts from, before any method changes them.

Shape suffixes: B batch, F rotated channel pairs of one axis. Per-axis rotary width d = 2F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.encodings.ranges import Theta
from rpe2d_bench.encodings.scaling import device_of, has_float64, wide
from rpe2d_bench.encodings.source import Source


def geometric(F: int, theta: float | Tensor, device: torch.device) -> Tensor:
    """theta^(-2i/d) for i = 0..F-1 (RoFormer, arXiv 2104.09864), float64.

    theta: a number, giving [1, F], or [B, 1], giving [B, F]. On a device without float64 the result is float32: a
    number's powers are taken on the CPU, in float64, and rounded once.
    """
    if not isinstance(theta, Tensor) and not has_float64(device):
        return geometric(F, theta, torch.device("cpu")).float().to(device)
    dtype = wide(device)
    i_F = torch.arange(F, device=device, dtype=dtype)
    if not isinstance(theta, Tensor):  # filled in on the device: copying a number there would make the host wait
        theta = torch.full((1, 1), theta, device=device, dtype=dtype)
    return theta.to(device, dtype).reshape(-1, 1) ** (-i_F / F)


@dataclass(frozen=True)
class Geometric:
    """theta^(-2i/d), the same at every grid; with `grid` positions this is extrapolation."""

    source: ClassVar[Source] = Source(
        paper="RoFormer, arXiv 2104.09864; per axis as FiT, arXiv 2402.12376",
        code="whlzy/FiT@b22b7b0 fit/model/rope.py (custom_freqs='normal')",
        clamp="nothing depends on s",
    )

    identity_below_train_grid: ClassVar[bool] = True

    theta: Theta = 10_000.0

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return geometric(F, self.theta, device_of(ctx)).float()
