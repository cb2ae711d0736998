"""What happens to the logit of a pair of tokens besides q.k: a mask, a bias, and which kernel takes it.

A bias is laid out once per forward pass and given to the stock kernel. On CUDA a rule that is elementwise and would
take more than ROOM is evaluated inside FlexAttention instead, so that nothing of N x N stands in memory. The order is
one of speed: with 1,024 tokens a table laid out took 1.5 times plain rotation, rules inside the kernel 2.5 to 4 times
(DiT-B/2, float32, H200; LOG.md).

Shape suffixes: B batch, H heads, N tokens, M some of the queries, K head width.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.encodings.bias import Bias
from rpe2d_bench.encodings.interface import Encoding, Grid

ROOM = 2**30  # bytes that a bias may take laid out: 4,600 tokens of 12 heads in float32, where images share positions
DEVICES = ("cuda",)  # whose FlexAttention is worth it
PROGRAMS = 64  # every rule, mask and gradient is compiled for itself; past torch's own 8 it would run uncompiled
SMALL_BLOCKS = {"BLOCK_M": 64, "BLOCK_N": 64, "num_stages": 1}  # the least that a kernel may take of shared memory
NO_KERNEL = "No valid triton configs"  # what torch says then (bfloat16, H200: 240 KiB asked for, 227 there)


@dataclass(frozen=True)
class Laid:
    """A bias as tensors: [B|1, H, N, N] additions and factors (None: 1), of the dtype of q."""

    addition_BHNN: Tensor
    factor_BHNN: Tensor | None


@dataclass(frozen=True)
class BiasedPairs:
    """What one block does with a bias. weight: what this block multiplies the addition by. laid: None in the kernel.

    weight_1: the same as a tensor, for the kernel, which would be compiled anew for every number.
    """

    bias: Bias
    weight: float
    weight_1: Tensor
    laid: Laid | None
    mask_NN: Tensor | None = None  # True where a query may look

    def weighted(self, q_BHNK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor) -> Tensor:
        """softmax(factor * q k^T + addition) v; q is already scaled."""
        if self.laid is None:
            out_BHNK = _in_kernel(q_BHNK, k_BHNK, v_BHNK, self._score(len(q_BHNK)))
            if out_BHNK is not None:
                return out_BHNK
            return dataclasses.replace(self, laid=_laid(self.bias, q_BHNK)).weighted(q_BHNK, k_BHNK, v_BHNK)
        if self.laid.factor_BHNN is None:
            added = self._added(slice(None)).to(q_BHNK.dtype)
            return F.scaled_dot_product_attention(q_BHNK, k_BHNK, v_BHNK, attn_mask=added, scale=1.0)
        return self.logits(q_BHNK, k_BHNK).softmax(dim=-1).to(v_BHNK.dtype) @ v_BHNK

    def logits(self, q_BHMK: Tensor, k_BHNK: Tensor, queries: slice = slice(None)) -> Tensor:
        """[B, H, M, N] logits of those queries; q is already scaled."""
        assert self.laid is not None
        logits_BHMN = q_BHMK @ k_BHNK.transpose(-2, -1)
        if self.laid.factor_BHNN is not None:
            logits_BHMN = logits_BHMN * self.laid.factor_BHNN[:, :, queries]
        return logits_BHMN + self._added(queries)

    def _added(self, queries: slice) -> Tensor:
        assert self.laid is not None
        added_BHMN = self.laid.addition_BHNN[:, :, queries]
        if self.weight != 1:
            added_BHMN = added_BHMN * self.weight
        return added_BHMN if self.mask_NN is None else added_BHMN.masked_fill(~self.mask_NN[queries], -math.inf)

    def _score(self, batch: int) -> Callable[..., Tensor]:
        """The same of one pair, as FlexAttention asks for it."""
        pair, weight_1, mask_NN = self.bias.pair, self.weight_1, self.mask_NN
        # a row for every image, also where one serves all: a batch of one would be another program
        y_BN, x_BN = (p.expand(batch, -1).contiguous() for p in (self.bias.y_BN, self.bias.x_BN))

        def score_of(score: Tensor, b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            dy, dx = y_BN[b, query] - y_BN[b, key], x_BN[b, query] - x_BN[b, key]
            factor = pair.factor(dy, dx, h)
            score = score if factor is None else score * factor
            score = score + weight_1[h * 0] * pair.addition(dy, dx, h)
            return score if mask_NN is None else torch.where(mask_NN[query, key], score, -math.inf)

        return score_of


Pairs = Tensor | BiasedPairs  # a tensor is a mask [N, N], True where a query may look


def by_layer(
    encoding: Encoding, depth: int, causal_NN: Tensor | None, like: Tensor, in_kernel: bool = True
) -> list[Pairs | None]:
    """What every block does to its pairs; causal_NN is the mask of every second one. Laid out once for all blocks.

    like: a tensor of the device and dtype of q. in_kernel: False lays a bias out whatever the device.
    """
    masks = [causal_NN if layer % 2 else None for layer in range(depth)]
    bias = encoding.bias
    if bias is None:
        return list(masks)
    first, last = bias.pair.layers
    weights = [first + (last - first) * layer / max(depth - 1, 1) for layer in range(depth)]
    laid = None if in_kernel and kernel_takes(bias, like) else _laid(bias, like)
    return [
        BiasedPairs(bias, weight, torch.full((1,), weight, device=like.device), laid, mask)
        for weight, mask in zip(weights, masks, strict=True)
    ]


def _laid(bias: Bias, like: Tensor) -> Laid:
    """Positions may be on another device than q: they are asked for where t is."""
    addition_BHNN, factor_BHNN = bias.of(lambda p: p.to(like.device)).dense()
    return Laid(addition_BHNN.to(like.dtype), None if factor_BHNN is None else factor_BHNN.to(like.dtype))


def kernel_takes(bias: Bias, like: Tensor) -> bool:
    """Whether the rule is evaluated inside the attention kernel: it has no room laid out and can be.

    like: a tensor of the device and dtype of q.
    """
    rows, tokens = bias.y_BN.shape
    takes = rows * bias.heads * tokens**2 * like.element_size()
    return takes > ROOM and bias.pair.elementwise and like.device.type in DEVICES and flex_compiles(like.device.type)


def _in_kernel(q_BHNK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, score: Callable[..., Tensor]) -> Tensor | None:
    """FlexAttention with a score; None where no kernel of it fits into the GPU's shared memory, which is warned of."""
    for options in (None, SMALL_BLOCKS):
        try:
            out_BHNK: Tensor = _flex()(
                q_BHNK, k_BHNK, v_BHNK, score_mod=score, scale=1.0, kernel_options=options
            )  # fmt: skip
            return out_BHNK
        except Exception as error:  # torch has no public name for it; what is not about compiling is raised again
            if NO_KERNEL not in str(error):
                raise
    warnings.warn("no kernel of FlexAttention fits this GPU for a bias; it is laid out", stacklevel=2)
    return None


@functools.cache
def flex_compiles(device: str) -> bool:
    """torch has no public question for it, so it is tried once, with a score as ours: a compiler may be missing."""
    try:
        q_BHNK = torch.zeros(1, 1, 16, 16, device=device)
        places_N = torch.arange(16.0, device=device)
        _flex()(q_BHNK, q_BHNK, q_BHNK, score_mod=lambda score, b, h, q, k: score - (places_N[q] - places_N[k]).abs())
    except Exception as error:  # whatever a compiler raises
        warnings.warn(
            f"FlexAttention does not compile here ({type(error).__name__}); biases are laid out", stacklevel=2
        )
        return False
    return True


@functools.cache
def _flex() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, PROGRAMS)
    compiled: Callable[..., Any] = torch.compile(flex_attention)
    return compiled


def lower_right_mask(grid: Grid, device: torch.device) -> Tensor:
    """[N, N], True where a query may look: not at tokens below and right of itself (LEDiT, arXiv 2503.04344)."""
    rows = torch.arange(grid.height, device=device).repeat_interleave(grid.width)
    columns = torch.arange(grid.width, device=device).repeat(grid.height)
    hidden = (rows[None, :] >= rows[:, None]) & (columns[None, :] >= columns[:, None])
    return ~hidden | torch.eye(grid.tokens, dtype=torch.bool, device=device)
