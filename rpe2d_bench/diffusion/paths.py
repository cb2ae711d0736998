"""Paths from data to noise: x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 data and t = 1 noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
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


class LinearBetasPath:
    """DDPM's 1,000 noise levels (arXiv 2006.11239, section 4: beta from 1e-4 to 0.02), step k at t = (k + 1) / 1,000.

    alpha^2 is the product of 1 - beta_j over j = 0..k. Its factors fall evenly, so that it is a ratio of gamma
    functions, which continues it between the steps: with the fall d and m = (1 - beta_0) / d it is
    d^u Gamma(m + 1) / Gamma(m + 1 - u) at u = 1,000 t. t = 0 is the image itself, where sigma grows as a root: before
    the first step its slope is that of the first step. At t = 1 alpha is 0.006, not 0.
    """

    STEPS, FIRST, LAST = 1000, 1e-4, 0.02

    def __call__(self, t: Tensor) -> Coefficients:
        fall = (self.LAST - self.FIRST) / (self.STEPS - 1)
        most = torch.full((), (1 - self.FIRST) / fall + 1, dtype=torch.float64, device=t.device)
        u = self.STEPS * t.double()
        log = (u * math.log(fall) + most.lgamma() - (most - u).lgamma()).clamp(max=0)  # of alpha^2
        slope = self.STEPS * (math.log(fall) + (most - u).digamma())
        alpha, square = (log / 2).exp(), -log.expm1()
        d_sigma = -(alpha**2) * slope / (2 * square.clamp(min=self.FIRST).sqrt())
        return Coefficients(*(part.to(t.dtype) for part in (alpha, square.sqrt(), alpha * slope / 2, d_sigma)))


PATHS: dict[str, type[Path]] = {
    "linear": LinearPath,
    "vp": VariancePreservingPath,
    "linear_betas": LinearBetasPath,
}


def path(name: str) -> Path:
    """The path of that name."""
    if name not in PATHS:
        raise unknown("path", name, PATHS)
    return PATHS[name]()
