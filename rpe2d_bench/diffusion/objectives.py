"""What is learned: the velocity d x_t / d t, at times drawn from a logit-normal distribution.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from rpe2d_bench.diffusion.paths import Path


def draw_times(batch: int, rng: Generator, mean: float = 0.0, std: float = 1.0) -> Float[Tensor, " {batch}"]:
    """Times in (0, 1): the sigmoid of a normal (Esser et al. 2024, arXiv 2403.03206, section 3.1)."""
    return torch.sigmoid(mean + std * torch.randn(batch, generator=rng, device=rng.device))


def noised(
    path: Path, x_BCYX: Float[Tensor, "B C Y X"], eps_BCYX: Float[Tensor, "B C Y X"], t_B: Float[Tensor, " B"]
) -> tuple[Float[Tensor, "B C Y X"], Float[Tensor, "B C Y X"]]:
    """The noised image x_t and the velocity that the model shall predict there."""
    at = path(t_B.view(-1, 1, 1, 1))
    return at.alpha * x_BCYX + at.sigma * eps_BCYX, at.d_alpha * x_BCYX + at.d_sigma * eps_BCYX


def clean_image(
    path: Path, x_t: Float[Tensor, "B C Y X"], velocity_BCYX: Float[Tensor, "B C Y X"], t_B: Float[Tensor, " B"]
) -> Float[Tensor, "B C Y X"]:
    """The x_0 that a velocity at x_t implies: x_t = alpha x_0 + sigma eps and its derivative, solved for x_0."""
    at = path(t_B.view(-1, 1, 1, 1))
    return (at.d_sigma * x_t - at.sigma * velocity_BCYX) / (at.alpha * at.d_sigma - at.sigma * at.d_alpha)
