"""Distance rules: how much the way from a query to a key costs, as a bias on the logits.

A rule is written once, elementwise: displacement and head in, addition out. A kernel evaluates it where it stands
(FlexAttention), or it is laid out as [B, H, N, N] for kernels that take a mask.

Shape suffixes: B batch, H heads, N tokens (row-major, height first), Y rows, X columns, M pairs in any shape.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.shapes import Float
from rpe2d_bench.encodings.source import Source


class PairBias(nn.Module, ABC):
    """factor * logit + addition of a query and a key, for each head.

    dy, dx: the query's position minus the key's, in tokens of the train grid; head: index of the head. All three
    broadcast, and the result has their shape. Rules see positions, never indices, so that random ones feed them too.
    elementwise: each value depends on its own arguments alone, as a kernel that evaluates pair by pair needs.
    layers: what the first and the last block multiply the addition by, linear between.
    """

    elementwise: ClassVar[bool] = True
    layers: tuple[float, float] = (1.0, 1.0)

    @abstractmethod
    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        """What is added to the logit, float32; -inf hides the key from the query."""

    def factor(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor | None:
        """What the logit is multiplied by first; None where that is 1 everywhere, which keeps the stock kernel."""
        return None

    def dense(self, y_BN: Tensor, x_BN: Tensor, heads: int) -> tuple[Tensor, Tensor | None]:
        """([B, H, N, N] additions, [B, 1|H, N, N] factors or None) of all pairs of tokens."""
        dy_B1NN, dx_B1NN = ((p[:, :, None] - p[:, None, :])[:, None] for p in (y_BN, x_BN))
        head_H11 = torch.arange(heads, device=y_BN.device)[:, None, None]
        return self.addition(dy_B1NN, dx_B1NN, head_H11), self.factor(dy_B1NN, dx_B1NN, head_H11)


@dataclass(frozen=True)
class Bias:
    """A rule and where the tokens are: what attention needs to evaluate it."""

    pair: PairBias
    y_BN: Float[Tensor, "B N"]  # [B|1, N], in tokens of the train grid
    x_BN: Float[Tensor, "B N"]
    heads: int

    def dense(self) -> tuple[Tensor, Tensor | None]:
        """`PairBias.dense` of these tokens."""
        return self.pair.dense(self.y_BN, self.x_BN, self.heads)

    def of(self, rows: Callable[[Tensor], Tensor]) -> Bias:
        """The bias of some images of a batch, as `rows` chooses them."""
        return replace(self, y_BN=rows(self.y_BN), x_BN=rows(self.x_BN))


@runtime_checkable
class LogitBias(Protocol):
    """How much a distance costs, as a file names it. ALiBi, LookHere and relative tables live here."""

    def build(self, heads: int) -> PairBias | None:
        """The rule for that many heads, with its learned parts if it has any; None for no bias."""
        ...


@dataclass(frozen=True)
class NoBias:
    """Nothing is added to the logits: distance acts through rotation alone, or not at all."""

    source: ClassVar[Source] = Source(paper="ordinary attention", clamp="nothing depends on s")

    def build(self, heads: int) -> PairBias | None:
        return None


def placed(pair: PairBias | None, y_BY: Tensor, x_BX: Tensor, heads: int) -> Bias | None:
    """The bias of a grid whose rows and columns stand at those positions; None where there is no rule."""
    if pair is None:
        return None
    rows, (height, width) = max(len(y_BY), len(x_BX)), (y_BY.shape[1], x_BX.shape[1])
    y_BN = y_BY[:, :, None].expand(rows, height, width).flatten(1)
    x_BN = x_BX[:, None, :].expand(rows, height, width).flatten(1)
    return Bias(pair, y_BN, x_BN, heads)
