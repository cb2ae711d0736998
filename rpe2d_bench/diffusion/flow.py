"""What a sampler integrates: a model's velocity along its path, with fresh noise for samplers that add some.

Shape suffixes: B batch. Images are [B, C, Y, X].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rpe2d_bench.diffusion.paths import Path

Velocity = Callable[[Tensor, float | Tensor], Tensor]  # of images at one time for all, or at a time [B] for each


@dataclass(frozen=True)
class Place:
    """A path's coefficients at a time, and what a velocity there says of image and noise."""

    alpha: float
    sigma: float
    d_alpha: float
    d_sigma: float

    @property
    def _determinant(self) -> float:
        return self.alpha * self.d_sigma - self.sigma * self.d_alpha

    def clean(self, x: Tensor, velocity: Tensor) -> Tensor:
        """x_0 of x_t = alpha x_0 + sigma eps and its derivative."""
        return (self.d_sigma * x - self.sigma * velocity) / self._determinant

    def noise(self, x: Tensor, velocity: Tensor) -> Tensor:
        """eps of the same; the score is -eps / sigma."""
        return (self.alpha * velocity - self.d_alpha * x) / self._determinant


@dataclass(frozen=True)
class Flow:
    """A velocity, called like one, with what stochastic samplers need beside it."""

    velocity: Velocity
    path: Path
    fresh: Callable[[], Tensor]  # normal noise, shaped and placed as the images, other at every call

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        return self.velocity(x, t)

    def at(self, t: float) -> Place:
        """The path at a time, computed in float64 on the CPU whatever the images are on."""
        found = self.path(torch.tensor(t, dtype=torch.float64, device="cpu"))
        return Place(float(found.alpha), float(found.sigma), float(found.d_alpha), float(found.d_sigma))
