"""What is learned: the velocity d x_t / d t, predicted as such or through the clean image or the noise, at
logit-normal times.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from rpe2d_bench.diffusion.paths import Path, path
from rpe2d_bench.errors import UserError

Prediction = Literal["velocity", "clean_image", "noise"]

# Li & He 2025, arXiv 2511.13720: the velocity divides by sigma(t), whose smallest value they bound by 0.05
_EARLIEST = 0.05


@dataclass(frozen=True)
class Objective:
    """What a model predicts along which path. The loss is on the velocity, whatever is predicted."""

    path: str = "linear"
    prediction: Prediction = "velocity"

    def check(self) -> None:
        """Raises UserError for an unknown path, and where a prediction says nothing at the path's end."""
        end = path(self.path)(torch.ones(()))
        if self.prediction == "noise" and not end.alpha > 1e-3:
            raise UserError(
                f"prediction: noise says nothing of the image at t = 1, where the path {self.path} is noise alone; "
                "write path: linear_betas, or prediction: velocity"
            )

    @property
    def earliest(self) -> float:
        """The smallest time at which a model learns; below it a clean image says too little of the velocity."""
        return _EARLIEST if self.prediction == "clean_image" else 0.0

    def learned(self, t_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Times as training and losses take them: none before the earliest."""
        return t_B.clamp(min=self.earliest) if self.earliest else t_B

    def velocity(
        self, predicted_BCYX: Float[Tensor, "B C Y X"], x_BCYX: Float[Tensor, "B C Y X"], t_B: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C Y X"]:
        """The velocity that a prediction at the noised image x_t implies.

        Of a clean image x: eps = (x_t - alpha x) / sigma, put into d_alpha x + d_sigma eps; on the linear path that is
        (x_t - x) / t. Before the earliest time the coefficients are those of the earliest.
        Of noise eps: x = (x_t - sigma eps) / alpha, put into the same.
        """
        if self.prediction == "velocity":
            return predicted_BCYX
        at = path(self.path)(self.learned(t_B).view(-1, 1, 1, 1))
        if self.prediction == "noise":
            return (at.d_alpha * x_BCYX + (at.d_sigma * at.alpha - at.d_alpha * at.sigma) * predicted_BCYX) / at.alpha
        of_clean = at.d_alpha * at.sigma - at.d_sigma * at.alpha
        return (at.d_sigma * x_BCYX + of_clean * predicted_BCYX) / at.sigma


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
