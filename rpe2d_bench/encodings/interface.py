"""The one interface of this project: Context in, Encoding out.

Every encoding in this field is where the tokens are x what a distance does to a pair of them x how sharp attention is.
A distance turns channels (frequencies), costs logits (bias.py), or both. The rules are small pure functions of a
frozen Context, and the model sees only their product, an Encoding.

Shape suffixes: B batch, H heads, N tokens (row-major, height first), D model width,
F rotated channel pairs of one axis (head_width / 4), so that 2F = head_width / 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from rpe2d_bench.encodings.bias import Bias
from rpe2d_bench.encodings.shapes import Float


@dataclass(frozen=True)
class Grid:
    """Tokens of an image, height first; never pixels."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid has at least one token per axis, got {self.height}x{self.width}")

    @property
    def tokens(self) -> int:
        return self.height * self.width

    def axis(self, axis: int) -> int:
        """Tokens along an axis: 0 is the height, 1 the width."""
        return (self.height, self.width)[axis]

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Context:
    """Everything an encoding may depend on, and nothing else."""

    grid: Grid
    train_grid: Grid
    t: Float[Tensor, " B"] | None = None  # 0 = data, 1 = noise; always given while sampling
    rng: Generator | None = None  # given <=> training; randomness is never implicit
    batch: int = 1
    crop_B3: Float[Tensor, "B 3"] | None = None  # log2 zoom, centre y and x of each crop; None = complete images

    def scale_factor(self, axis: int) -> float:
        """grid / train_grid along an axis, NOT clamped: grids below the train grid are in scope."""
        return self.grid.axis(axis) / self.train_grid.axis(axis)


@dataclass(frozen=True)
class Encoding:
    """What the transformer applies: an addition to the tokens, a rotation of q and k, a factor and a bias on logits."""

    additive_BND: Float[Tensor, "B N D"] | None = None  # [B|1, N, D], added to the patch tokens
    angles_BHNF: Float[Tensor, "B H N F"] | None = None  # [B|1, heads|1, N, K / 2] radians, height's channels first
    logit_scale: float | Tensor = 1.0  # scalar or [B]; multiplies q.k / sqrt(head_width)
    bias: Bias | None = None  # what each pair of tokens adds to its logit, evaluated by the attention kernel
    averaged_angles: tuple[Tensor, ...] = ()  # more rotations, shaped as the first; attention's outputs are averaged


class PositionalEncoding(nn.Module, ABC):
    """A map from Context to Encoding; stateless ones have an empty state_dict."""

    @abstractmethod
    def forward(self, ctx: Context) -> Encoding: ...


@runtime_checkable
class Positions(Protocol):
    """Where the tokens are; both axes at once, so that they can be tied or independent. RPE-2D lives here."""

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        """Increasing coordinates ([B|1, height], [B|1, width]), float32, in tokens of the train grid."""
        ...


@runtime_checkable
class Frequencies(Protocol):
    """How fast each channel turns. Interpolation, NTK, YaRN and DyPE live here."""

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        """[B|1, F] radians per unit of position, highest frequency first."""
        ...


@runtime_checkable
class LogitScale(Protocol):
    """How sharp attention is. YaRN's temperature and proportional attention live here."""

    def __call__(self, ctx: Context) -> float | Tensor:
        """Scalar or [B]; multiplies q.k / sqrt(head_width)."""
        ...


def rotate(x_BHNK: Float[Tensor, "B H N K"], angles_BHNF: Float[Tensor, "#B #H N F"]) -> Float[Tensor, "B H N 2*F"]:
    """Rotate channel pairs (i, i + K/2) of q or k by the angles; returns the dtype of x.

    x_BHNK [B, heads, N, head_width]; angles_BHNF [B|1, heads|1, N, head_width / 2] in radians.
    """
    cos, sin = angles_BHNF.cos().to(x_BHNK.dtype), angles_BHNF.sin().to(x_BHNK.dtype)
    a, b = x_BHNK.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
