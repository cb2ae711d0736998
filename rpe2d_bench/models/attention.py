"""Attention as an Encoding asks for it: q and k rotated, logits scaled, optionally a causal scan.

Shape suffixes: B batch, N tokens, D width, E = 3 D, H heads, K head width, F = K / 2 channel pairs.
A leading 2 packs q and k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.encodings.interface import Encoding, Grid

IN_CACHE = 2**21  # logits that are worked on together where no gradient is asked for


@dataclass(frozen=True)
class Rotation:
    """What attention multiplies q and k with, computed once per forward pass.

    q and k are packed along a first axis of two, and 1 / sqrt(K) and the logit scale are folded into the half of q, so
    that they cost nothing per block. x -> x * cos + roll(x) * sin turns the channel pairs (i, i + K/2), as
    encodings.rotate does, in two passes over memory; without angles, sin is None.
    """

    cos_2BHNK: Tensor
    sin_2BHNK: Tensor | None = None


def rotation_of(encoding: Encoding, head_width: int, like: Tensor) -> Rotation:
    """What attention needs of an Encoding; angles stay float32 until their cosine is taken."""
    scale = encoding.logit_scale
    if not isinstance(scale, Tensor):  # filled in on the device: copying a number there would make the host wait
        scale = torch.full((1,), scale, dtype=torch.float32, device=like.device)
    scale = scale.to(like.device, torch.float32).view(-1, 1, 1, 1)
    scale_2B = torch.stack((scale * head_width**-0.5, torch.ones_like(scale)))
    if encoding.angles_BHNF is None:
        return Rotation(scale_2B.to(like.dtype))
    angles_BHNF = encoding.angles_BHNF.float()
    cos, sin = angles_BHNF.cos(), angles_BHNF.sin()
    cos_BHNK, sin_BHNK = torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)
    return Rotation((scale_2B * cos_BHNK).to(like.dtype), (scale_2B * sin_BHNK).to(like.dtype))


def attend(qkv_BNE: Tensor, heads: int, rotation: Rotation, mask_NN: Tensor | None = None) -> Tensor:
    """Multi-head attention of packed q, k, v [B, N, 3D] -> [B, N, D]; mask is True where a query may look."""
    out_BHNK = _weighted(*unpacked(qkv_BNE, heads, rotation), mask_NN)
    return out_BHNK.transpose(1, 2).flatten(2)


def unpacked(qkv_BNE: Tensor, heads: int, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v [B, H, N, K] as attention multiplies them: q and k turned, every scale in q."""
    packed = qkv_BNE.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
    qk_2BHNK, v_1BHNK = packed.split((2, 1))
    turned = qk_2BHNK * rotation.cos_2BHNK
    if rotation.sin_2BHNK is not None:
        turned = turned + qk_2BHNK.roll(qk_2BHNK.shape[-1] // 2, dims=-1) * rotation.sin_2BHNK
    q_BHNK, k_BHNK = turned.unbind(0)
    return q_BHNK, k_BHNK, v_1BHNK[0]


def _weighted(q_BHNK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, mask_NN: Tensor | None) -> Tensor:
    """softmax(q k^T) v; q is already scaled."""
    if q_BHNK.device.type != "cpu" or q_BHNK.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q_BHNK, k_BHNK, v_BHNK, attn_mask=mask_NN, scale=1.0)
    # Here the stock kernel loses to its own definition: forward and backward 23 against 2.5 ms at 64 tokens, 65 against
    # 30 ms at 1,024 (docs/performance.md)
    if q_BHNK.requires_grad:
        return _logits(q_BHNK, k_BHNK, mask_NN).softmax(dim=-1) @ v_BHNK
    pictures = max(1, IN_CACHE // (q_BHNK.shape[1] * q_BHNK.shape[2] ** 2))
    slices = zip(*(part.split(pictures) for part in (q_BHNK, k_BHNK, v_BHNK)), strict=True)
    return torch.cat([_softmax(_logits(q, k, mask_NN)) @ v for q, k, v in slices])


def _logits(q_BHNK: Tensor, k_BHNK: Tensor, mask_NN: Tensor | None) -> Tensor:
    logits_BHNN = q_BHNK @ k_BHNK.transpose(-2, -1)
    return logits_BHNN if mask_NN is None else logits_BHNN.masked_fill(~mask_NN, -math.inf)


def _softmax(logits_BHNN: Tensor) -> Tensor:
    """Over the last axis, without a gradient: oneDNN's takes a half to a third of the time of torch's own."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return logits_BHNN.softmax(dim=-1)
    return logits_BHNN.to_mkldnn().softmax(dim=-1).to_dense()


def lower_right_mask(grid: Grid, device: torch.device) -> Tensor:
    """[N, N], True where a query may look: not at tokens below and right of itself (LEDiT, arXiv 2503.04344)."""
    rows = torch.arange(grid.height, device=device).repeat_interleave(grid.width)
    columns = torch.arange(grid.width, device=device).repeat(grid.height)
    hidden = (rows[None, :] >= rows[:, None]) & (columns[None, :] >= columns[:, None])
    return ~hidden | torch.eye(grid.tokens, dtype=torch.bool, device=device)
