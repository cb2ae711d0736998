"""Attention as an Encoding asks for it: q and k rotated, logits scaled, optionally a causal scan.

Shape suffixes: B batch, N tokens, D width, H heads, K head width, F = K / 2 channel pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.encodings.interface import Encoding, Grid


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines computed once per forward pass; None where there is nothing to rotate."""

    cos_BHNF: Tensor | None = None
    sin_BHNF: Tensor | None = None
    q_scale: float | Tensor = 1.0  # scalar or [B, 1, 1, 1]


def rotation_of(encoding: Encoding, dtype: torch.dtype) -> Rotation:
    """What attention needs of an Encoding; angles stay float32 until their cosine is taken."""
    scale = encoding.logit_scale
    if isinstance(scale, Tensor):
        scale = scale.to(dtype).view(-1, 1, 1, 1)
    if encoding.angles_BHNF is None:
        return Rotation(q_scale=scale)
    angles = encoding.angles_BHNF.float()
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype), scale)


def attend(qkv_BNE: Tensor, heads: int, rotation: Rotation, mask_NN: Tensor | None = None) -> Tensor:
    """Multi-head attention of packed q, k, v [B, N, 3D] -> [B, N, D]; mask is True where a query may look."""
    q_BHNK, k_BHNK, v_BHNK = qkv_BNE.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    if rotation.cos_BHNF is not None and rotation.sin_BHNF is not None:
        q_BHNK = _turn(q_BHNK, rotation.cos_BHNF, rotation.sin_BHNF)
        k_BHNK = _turn(k_BHNK, rotation.cos_BHNF, rotation.sin_BHNF)
    if isinstance(rotation.q_scale, Tensor) or rotation.q_scale != 1.0:
        q_BHNK = q_BHNK * rotation.q_scale  # equal to scaling the logits
    out_BHNK = F.scaled_dot_product_attention(q_BHNK, k_BHNK, v_BHNK, attn_mask=mask_NN)
    return out_BHNK.transpose(1, 2).flatten(2)


def _turn(x_BHNK: Tensor, cos_BHNF: Tensor, sin_BHNF: Tensor) -> Tensor:
    """Rotate channel pairs (i, i + K/2), as encodings.rotate does, from ready cosines and sines."""
    a, b = x_BHNK.chunk(2, dim=-1)
    return torch.cat((a * cos_BHNF - b * sin_BHNF, b * cos_BHNF + a * sin_BHNF), dim=-1)


def lower_right_mask(grid: Grid, device: torch.device) -> Tensor:
    """[N, N], True where a query may look: everywhere but strictly below and right of itself (LEDiT, arXiv 2503.04344)."""
    rows = torch.arange(grid.height, device=device).repeat_interleave(grid.width)
    columns = torch.arange(grid.width, device=device).repeat(grid.height)
    hidden = (rows[None, :] >= rows[:, None]) & (columns[None, :] >= columns[:, None])
    return ~hidden | torch.eye(grid.tokens, dtype=torch.bool, device=device)
