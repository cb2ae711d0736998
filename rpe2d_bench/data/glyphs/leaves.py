"""Dead leaves: opaque discs of all sizes that cover each other, which look alike at every scale, as photographs do.

Radii have a density proportional to 1 / r^3, the scale-invariant one (Lee, Mumford & Huang 2001). Discs lie in lattices
of cells, one disc a cell and a lattice an octave of radii, so that a pixel meets a bounded number of them; each has a
random depth, and the nearest is seen. The lattices close upon themselves after 5/4 of the short side.

Shape suffixes: B batch, N cells of an axis, Y rows, X columns.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.data.counter_rng import numbers

_PERIOD = 1.25  # of the lattices, in short sides
_OCTAVES = tuple(4 * 2**octave for octave in range(6))  # cells of an axis; radii from 0.16 down to 0.005
SMALLEST = _PERIOD / _OCTAVES[-1]  # diameter of the smallest leaf, in short sides
_EMPTY = 0.5  # what lies below all leaves; hardly anything of it is seen


def leaves(streams_B: Tensor, y_Y: Tensor, x_X: Tensor) -> Tensor:
    """Values in [0, 1], float32 [B, Y, X], at coordinates in short sides; a stream (int64) addresses an image."""
    shape = (len(streams_B), len(y_Y), len(x_X))
    shade_BYX, depth_BYX = torch.full(shape, _EMPTY), torch.zeros(shape)
    first = 0
    for cells in _OCTAVES:
        side = _PERIOD / cells
        drawn = numbers(streams_B.numpy().view(np.uint64), 5 * cells * cells, first).astype(np.float32)
        first += 5 * cells * cells
        at_y, at_x, chance, depth, shade = torch.from_numpy(drawn).view(-1, 5, cells, cells).unbind(1)
        # chance is where the radius stands in the distribution 1 / r^3 between side / 2 and side
        squared_radius = (side / 2) ** 2 / (1 - 0.75 * chance)
        row_Y, column_X = (torch.floor(axis / side).long() for axis in (y_Y, x_X))
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):  # a disc reaches the cells next to its own
                row, column = row_Y + down, column_X + right
                there = (row % cells, column % cells)
                from_y = y_Y[:, None] - (row[:, None] + _at(at_y, *there)) * side
                from_x = x_X - (column + _at(at_x, *there)) * side
                depth_here = _at(depth, *there)
                inside = from_y.square_().add_(from_x.square_()) < _at(squared_radius, *there)
                seen = inside & (depth_here > depth_BYX)
                shade_BYX = torch.where(seen, _at(shade, *there), shade_BYX)
                depth_BYX = torch.where(seen, depth_here, depth_BYX)
    return shade_BYX


def _at(cells_BNN: Tensor, row_Y: Tensor, column_X: Tensor) -> Tensor:
    return cells_BNN[:, row_Y][:, :, column_X]
