"""What is learned: the velocity d x_t / d t, at times drawn from a logit-normal distribution.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from rpe2d_bench.diffusion.paths import Path


def draw_times(batch: int, rng: Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """[B] times in (0, 1): the sigmoid of a normal (Esser et al. 2024, arXiv 2403.03206, section 3.1)."""
    return torch.sigmoid(mean + std * torch.randn(batch, generator=rng, device=rng.device))


def noised(path: Path, x_BCYX: Tensor, eps_BCYX: Tensor, t_B: Tensor) -> tuple[Tensor, Tensor]:
    """The noised picture x_t and the velocity that the model shall predict there."""
    at = path(t_B.view(-1, 1, 1, 1))
    return at.alpha * x_BCYX + at.sigma * eps_BCYX, at.d_alpha * x_BCYX + at.d_sigma * eps_BCYX
