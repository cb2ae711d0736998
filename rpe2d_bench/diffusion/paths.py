"""Paths from data to noise: x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 data and t = 1 noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from rpe2d_bench.errors import unknown


@dataclass(frozen=True)
class Coefficients:
    """Values of a path at t, and their derivatives by t."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


@runtime_checkable
class Path(Protocol):
    def __call__(self, t: Tensor) -> Coefficients: ...


class LinearPath:
    """Rectified flow: alpha = 1 - t, sigma = t (arXiv 2209.03003)."""

    def __call__(self, t: Tensor) -> Coefficients:
        one = t.new_ones(()).expand_as(t)
        return Coefficients(1 - t, t, -one, one)


class VariancePreservingPath:
    """The cosine path: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (SiT's generalized variance-preserving path)."""

    def __call__(self, t: Tensor) -> Coefficients:
        half_turn = math.pi / 2
        cos, sin = (half_turn * t).cos(), (half_turn * t).sin()
        return Coefficients(cos, sin, -half_turn * sin, half_turn * cos)


PATHS: dict[str, type[Path]] = {"linear": LinearPath, "vp": VariancePreservingPath}


def path(name: str) -> Path:
    """The path of that name."""
    if name not in PATHS:
        raise unknown("path", name, PATHS)
    return PATHS[name]()
