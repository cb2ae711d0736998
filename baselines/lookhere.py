"""LookHere: every head looks one way, and what it sees costs by distance.

Shape suffixes: H heads, P half planes, M pairs in any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.alibi import euclid
from rpe2d_bench.encodings.bias import PairBias
from rpe2d_bench.encodings.ranges import Factor
from rpe2d_bench.encodings.source import Source

HalfPlane = tuple[float, float]  # (a, b): a key is seen where a dy + b dx >= 0; the boundary belongs to it
UP, DOWN, LEFT, RIGHT = (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)
# what a quarter around an axis is bounded by: keys above the query's two diagonals, and so on
ABOVE, BELOW = ((1.0, -1.0), (1.0, 1.0)), ((-1.0, -1.0), (-1.0, 1.0))
LEFTWARD, RIGHTWARD = ((-1.0, 1.0), (1.0, 1.0)), ((-1.0, -1.0), (1.0, -1.0))
GROUPS: dict[int, list[list[tuple[HalfPlane, ...]]]] = {  # degrees a head sees -> groups of directions
    180: [[(UP,), (DOWN,), (LEFT,), (RIGHT,)]],
    90: [
        [(UP, LEFT), (UP, RIGHT), (DOWN, LEFT), (DOWN, RIGHT)],
        [ABOVE, BELOW, LEFTWARD, RIGHTWARD],
    ],
    45: [
        [(*ABOVE, LEFT), (*BELOW, LEFT), (*LEFTWARD, UP), (*RIGHTWARD, UP)],
        [(*ABOVE, RIGHT), (*BELOW, RIGHT), (*LEFTWARD, DOWN), (*RIGHTWARD, DOWN)],
    ],
}
UNDIRECTED = (1 / 4, 1 / 16, 1 / 64, 1 / 256)  # slopes of heads that see everything


@dataclass(frozen=True)
class LookHere:
    """-(global x layer x head slope x Euclid's distance) inside a head's field of view, hidden outside of it.

    view: degrees that a directed head sees, 180, 90 or 45; boundaries are seen, and so is every token by itself. The
    last third of the heads sees everything. first_layer, last_layer: factors of the first and the last block.
    """

    source: ClassVar[Source] = Source(
        paper="LookHere, Fuller et al. 2024, arXiv 2405.13985",
        code="GreenCUBIC/lookhere@641deab lookhere.py create_lh_bias_tensor (halves-none, corners-triangles-none, "
        "eighths1-eighths2-none)",
        differs="hidden is -inf, where the code has the largest bfloat16 and rounds the whole bias to bfloat16. The "
        "code runs with 12 and 16 heads (one variant with 6); other numbers get its directions in its order, as far as "
        "they go, and below 6 heads some directions are missing",
        clamp="none: a distance costs the same on every grid",
    )

    view: Literal[180, 90, 45] = 180
    global_slope: Factor = 2.0
    first_layer: Factor = 1.5
    last_layer: Factor = 0.5

    def build(self, heads: int) -> PairBias:
        views, slopes = self.directed(heads)
        rest = heads - len(views)
        free = [UNDIRECTED[k if rest < 4 else 4 * k // rest] for k in range(rest)]
        planes_HP2 = torch.zeros(heads, max(map(len, views), default=1), 2)
        for head, view in enumerate(views):
            planes_HP2[head, : len(view)] = torch.tensor(view)
        slope_H = self.global_slope * torch.tensor(slopes + free)
        return FieldOfView(slope_H, planes_HP2, (self.first_layer, self.last_layer))

    def directed(self, heads: int) -> tuple[list[tuple[HalfPlane, ...]], list[float]]:
        """What each directed head sees, and its slope: half, after four heads of one group a quarter, and so on."""
        groups = GROUPS[self.view]
        count = {(16, 180): 8, (16, 90): 12, (16, 45): 12}.get((heads, self.view), heads - heads // 3)
        sizes = [count] if len(groups) == 1 else [math.ceil(count / 8) * 4 if count > 4 else count]
        sizes = sizes if len(groups) == 1 else [*sizes, count - sizes[0]]
        views, slopes = [], []
        for group, size in zip(groups, sizes, strict=True):
            views += [group[k % 4] for k in range(size)]
            slopes += [0.5 ** (1 + k // 4) for k in range(size)]
        return views, slopes


class FieldOfView(PairBias):
    """-slope x distance where every half plane of the head holds the key, -inf elsewhere."""

    slope_H: Tensor
    planes_HP2: Tensor

    def __init__(self, slope_H: Tensor, planes_HP2: Tensor, layers: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("slope_H", slope_H, persistent=False)
        self.register_buffer("planes_HP2", planes_HP2, persistent=False)
        self.layers = layers

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        cost_M = -self.slope_H[head_M] * euclid(dy_M, dx_M)
        for plane in range(self.planes_HP2.shape[1]):
            a_M, b_M = self.planes_HP2[head_M, plane, 0], self.planes_HP2[head_M, plane, 1]
            cost_M = torch.where(a_M * dy_M + b_M * dx_M >= 0, cost_M, -math.inf)
        return cost_M
