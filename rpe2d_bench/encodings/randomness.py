"""Whether an encoding draws random numbers in training, asked of the encoding itself."""

from __future__ import annotations

import torch
from torch import Generator

from rpe2d_bench.encodings.interface import Context, Grid, PositionalEncoding

BATCH = 2  # enough for what is drawn per sample


def draws(encoding: PositionalEncoding, train_grid: Grid, device: torch.device | str = "cpu") -> bool:
    """Whether a training step at the grid moves the generator that the context carries.

    Raises UserError where the encoding does not fit the grid.
    """
    rng = Generator(device).manual_seed(0)
    before = rng.get_state()
    half_B, crop_B3 = torch.full((BATCH,), 0.5, device=device), torch.zeros(BATCH, 3, device=device)
    with torch.no_grad():
        encoding(Context(train_grid, train_grid, half_B, rng, BATCH, crop_B3))
    return not torch.equal(before, rng.get_state())
