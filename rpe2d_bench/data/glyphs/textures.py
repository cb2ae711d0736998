"""Textures: the sum of two plane waves, with periods that no patch size divides.

Shape suffixes: B batch, Y rows, X columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# (cycles along y, cycles along x) of the two waves, per short side of the image. Periods lie between 1/5 and 1/11
# of the short side: longer than a patch of the mini models (1/8 to 1/16), so a texture crosses patch borders.
_WAVES: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = (
    ((5.3, 0.0), (5.3, 0.0)),  # horizontal stripes
    ((0.0, 5.3), (0.0, 5.3)),  # vertical stripes
    ((4.1, 4.1), (4.1, 4.1)),  # rising diagonal stripes
    ((4.1, -4.1), (4.1, -4.1)),  # falling diagonal stripes
    ((5.9, 0.0), (0.0, 5.9)),  # lattice along the axes
    ((4.7, 4.7), (4.7, -4.7)),  # lattice along the diagonals
    ((10.3, 0.0), (10.3, 0.0)),  # fine horizontal stripes
    ((0.0, 10.3), (0.0, 10.3)),  # fine vertical stripes
    ((9.1, 3.7), (3.7, -9.1)),  # fine tilted lattice
    ((3.1, 0.0), (0.0, 9.7)),  # coarse by fine lattice
)
TEXTURES = len(_WAVES)


def texture(ids_B: Tensor, phases_B: Tensor, y_Y: Tensor, x_X: Tensor) -> Tensor:
    """Values in [0, 1], float32 [B, Y, X], at coordinates in units of the short side; phases in turns."""
    cycles_B22 = torch.tensor(_WAVES)[ids_B]
    total = torch.zeros(len(ids_B), len(y_Y), len(x_X))
    for wave in range(2):
        along_y = 2 * math.pi * (cycles_B22[:, wave, 0, None] * y_Y + phases_B[:, None])
        along_x = 2 * math.pi * cycles_B22[:, wave, 1, None] * x_X
        # sin(a + b) as two outer products, so that no sine is taken per pixel
        pair_YK = torch.stack([along_y.sin(), along_y.cos()], -1)
        pair_KX = torch.stack([along_x.cos(), along_x.sin()], -2)
        total += pair_YK @ pair_KX
    return 0.5 + 0.25 * total
