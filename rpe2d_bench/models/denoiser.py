"""What is trained and sampled: a transformer, its positional encoding, and what its output means.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from rpe2d_bench.diffusion import Objective
from rpe2d_bench.encodings.interface import Encoding, PositionalEncoding
from rpe2d_bench.models.dit import DiT


class Denoiser(nn.Module):
    """Gives the velocity, whatever its transformer predicts."""

    def __init__(
        self,
        dit: DiT,
        encoding: PositionalEncoding,
        objective: Objective = Objective(),  # noqa: B008  (a frozen value)
    ) -> None:
        super().__init__()
        self.dit, self.encoding, self.objective = dit, encoding, objective

    def forward(
        self,
        x_BCYX: Tensor,
        t_B: Tensor,
        labels_B: Tensor,
        encoding: Encoding,
        crop_B3: Tensor | None = None,
        dilation: int = 1,
    ) -> Tensor:
        """The velocity at noised images, float32 [B, C, Y, X]; arguments as of DiT.forward."""
        predicted_BCYX = self.dit(x_BCYX, t_B, labels_B, encoding, crop_B3, dilation)
        return self.objective.velocity(predicted_BCYX.float(), x_BCYX, t_B)
