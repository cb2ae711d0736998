"""Attention as an Encoding asks for it: q and k rotated, logits scaled, optionally biased or a causal scan.

Shape suffixes: B batch, N tokens, D width, E = 3 D, H heads, K head width, F = K / 2 channel pairs.
A 2 packs q and k, a 3 packs q, k and v.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rpe2d_bench.encodings.interface import Encoding
from rpe2d_bench.models.pair_logits import BiasedPairs, Pairs

IN_CACHE = 2**21  # logits that are worked on together where no gradient is asked for


@dataclass(frozen=True)
class RotationOfHalves:
    """What attention multiplies q and k with, computed once per forward pass.

    q and k are packed along a first axis of two, and 1 / sqrt(K) and the logit scale are folded into the half of q, so
    that they cost nothing per block. x -> x * cos + roll(x) * sin turns the channel pairs (i, i + K/2), as
    encodings.rotate does, in two passes over memory; without angles, sin is None.
    """

    cos_2BHNK: Tensor
    sin_2BHNK: Tensor | None = None
    side_by_side = False

    def unpacked(self, qkv_BNE: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B, H, N, K], each contiguous."""
        packed = qkv_BNE.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
        qk_2BHNK, v_1BHNK = packed.split((2, 1))
        turned = qk_2BHNK * self.cos_2BHNK
        if self.sin_2BHNK is not None:
            turned = turned + qk_2BHNK.roll(qk_2BHNK.shape[-1] // 2, dims=-1) * self.sin_2BHNK
        q_BHNK, k_BHNK = turned.unbind(0)
        return q_BHNK, k_BHNK, v_1BHNK[0]


@dataclass(frozen=True)
class RotationOfPairs:
    """The same in one pass and without a copy, for CPUs in float32 and float64: a product of complex numbers.

    Where the channels of a pair stand side by side (PackedProjection sees to it), they are real and imaginary part of
    one number, and (x + iy) e^(i angle) turns it. factors holds scale * e^(i angle) for q, e^(i angle) for k and 1
    for v; without angles it is real, and pairs stay as they are.
    """

    factors_BN3HF: Tensor

    @property
    def side_by_side(self) -> bool:
        return self.factors_BN3HF.is_complex()

    def unpacked(self, qkv_BNE: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B, H, N, K], views of one tensor [B, N, 3, H, K]."""
        packed = qkv_BNE.unflatten(2, (3, heads, -1))
        if self.side_by_side:
            pairs_BN3HF = torch.view_as_complex(packed.unflatten(4, (-1, 2)))
            turned = torch.view_as_real(pairs_BN3HF * self.factors_BN3HF).flatten(4)
        else:
            turned = packed * self.factors_BN3HF
        q_BNHK, k_BNHK, v_BNHK = turned.unbind(2)  # before the transpose: their gradients are then packed in rows
        return q_BNHK.transpose(1, 2), k_BNHK.transpose(1, 2), v_BNHK.transpose(1, 2)


@dataclass(frozen=True)
class RotationsAveraged:
    """Several rotations of the same q and k, over which the outputs of attention are averaged: a kernel call each."""

    each: tuple[RotationOfHalves | RotationOfPairs, ...]

    @property
    def side_by_side(self) -> bool:
        return self.each[0].side_by_side


Rotation = RotationOfHalves | RotationOfPairs | RotationsAveraged


def rotation_of(encoding: Encoding, heads: int, head_width: int, like: Tensor) -> Rotation:
    """What attention needs of an Encoding; angles stay float32 until their cosine is taken."""
    if encoding.averaged_angles:
        alone = (encoding.angles_BHNF, *encoding.averaged_angles)
        one = [_rotation(replace(encoding, angles_BHNF=a), heads, head_width, like) for a in alone]
        return RotationsAveraged(tuple(one))
    return _rotation(encoding, heads, head_width, like)


def _rotation(encoding: Encoding, heads: int, head_width: int, like: Tensor) -> RotationOfHalves | RotationOfPairs:
    scale = encoding.logit_scale
    if not isinstance(scale, Tensor):  # filled in on the device: copying a number there would make the host wait
        scale = torch.full((1,), scale, dtype=torch.float32, device=like.device)
    scale_B = scale.to(like.device, torch.float32).view(-1) * head_width**-0.5
    angles_BHNF = None if encoding.angles_BHNF is None else encoding.angles_BHNF.float()
    # torch.compile fuses real passes by itself and no complex ones
    if like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64) and not torch.compiler.is_compiling():
        return RotationOfPairs(_factors(scale_B, angles_BHNF, heads, like.dtype))
    scale_2B = torch.stack((scale_B, torch.ones_like(scale_B))).view(2, -1, 1, 1, 1)
    if angles_BHNF is None:
        return RotationOfHalves(scale_2B.to(like.dtype))
    cos, sin = angles_BHNF.cos(), angles_BHNF.sin()
    cos_BHNK, sin_BHNK = torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)
    return RotationOfHalves((scale_2B * cos_BHNK).to(like.dtype), (scale_2B * sin_BHNK).to(like.dtype))


def _factors(scale_B: Tensor, angles_BHNF: Tensor | None, heads: int, dtype: torch.dtype) -> Tensor:
    """[B|1, N|1, 3, H|1, F|1] of q, k and v."""
    ones_B = torch.ones_like(scale_B)
    scale_B1311 = torch.stack((scale_B, ones_B, ones_B), dim=1).view(-1, 1, 3, 1, 1)
    if angles_BHNF is None:
        return scale_B1311.to(dtype)
    angles_BNHF = angles_BHNF.transpose(1, 2)
    turn_BN3HF = torch.stack((angles_BNHF, angles_BNHF, torch.zeros_like(angles_BNHF)), dim=2)
    # heads written out: rows of 3HF numbers are worked on together, not of F
    factors = scale_B1311 * torch.polar(torch.ones_like(turn_BN3HF), turn_BN3HF)
    return factors.expand(-1, -1, -1, heads, -1).to(dtype.to_complex()).contiguous()


class PackedProjection(nn.Linear):
    """q, k and v of all heads by one product, [B, N, D] -> [B, N, 3D].

    normalised: q and k of each head at mean 0 and variance 1, without weights (QK-norm of FiTv2).
    """

    def __init__(self, width: int, heads: int, normalised: bool = False) -> None:
        super().__init__(width, 3 * width)
        self.heads, self.normalised = heads, normalised

    def forward(self, input: Tensor, side_by_side: bool = False) -> Tensor:
        """side_by_side: channels i and i + K/2 of q and k next to each other, by the order of the weights' rows."""
        if side_by_side:
            qkv_BNE = F.linear(input, self._paired(self.weight), self._paired(self.bias))
        else:
            qkv_BNE = super().forward(input)
        return self._normalised(qkv_BNE) if self.normalised else qkv_BNE

    def _normalised(self, qkv_BNE: Tensor) -> Tensor:
        qk, v = qkv_BNE.unflatten(2, (3 * self.heads, -1)).tensor_split((2 * self.heads,), dim=2)
        return torch.cat((F.layer_norm(qk, qk.shape[-1:], eps=1e-6).to(v.dtype), v), dim=2).flatten(2)

    def _paired(self, rows: Tensor) -> Tensor:
        qk, v = rows.tensor_split((2 * len(rows) // 3,))
        return torch.cat((qk.unflatten(0, (2 * self.heads, 2, -1)).transpose(1, 2).flatten(0, 2), v))


def attend(qkv_BNE: Tensor, heads: int, rotation: Rotation, pairs: Pairs | None = None) -> Tensor:
    """Multi-head attention of packed q, k, v [B, N, 3D] -> [B, N, D].

    qkv_BNE is what PackedProjection gives for `rotation.side_by_side`. pairs: a mask [N, N], True where a query may
    look, or what a bias does (pair_logits.py).
    """
    each = rotation.each if isinstance(rotation, RotationsAveraged) else (rotation,)
    outs = [_weighted(*one.unpacked(qkv_BNE, heads), pairs) for one in each]
    out_BHNK = outs[0] if len(outs) == 1 else torch.stack(outs).mean(dim=0)
    return out_BHNK.transpose(1, 2).flatten(2)


def _weighted(q_BHNK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, pairs: Pairs | None) -> Tensor:
    """softmax(q k^T) v; q is already scaled."""
    if isinstance(pairs, BiasedPairs):
        return pairs.weighted(q_BHNK, k_BHNK, v_BHNK)
    if q_BHNK.device.type != "cpu" or q_BHNK.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q_BHNK, k_BHNK, v_BHNK, attn_mask=pairs, scale=1.0)
    # Here the stock kernel loses to its own definition: forward and backward 23 against 2.5 ms at 64 tokens, 65 against
    # 30 ms at 1,024 (docs/performance.md)
    if q_BHNK.requires_grad:
        return _logits(q_BHNK, k_BHNK, pairs).softmax(dim=-1) @ v_BHNK
    images = max(1, IN_CACHE // (q_BHNK.shape[1] * q_BHNK.shape[2] ** 2))
    slices = zip(*(part.split(images) for part in (q_BHNK, k_BHNK, v_BHNK)), strict=True)
    return torch.cat([_softmax(_logits(q, k, pairs)) @ v for q, k, v in slices])


def _logits(q_BHNK: Tensor, k_BHNK: Tensor, mask_NN: Tensor | None) -> Tensor:
    logits_BHNN = q_BHNK @ k_BHNK.transpose(-2, -1)
    return logits_BHNN if mask_NN is None else logits_BHNN.masked_fill(~mask_NN, -math.inf)


def _softmax(logits_BHNN: Tensor) -> Tensor:
    """Over the last axis, without a gradient: oneDNN's takes a half to a third of the time of torch's own, which a
    compiler has to be given."""
    if torch.compiler.is_compiling() or not _onednn_takes_bfloat16():
        return logits_BHNN.softmax(-1)
    return logits_BHNN.to_mkldnn().softmax(dim=-1).to_dense()


@functools.cache
def _onednn_takes_bfloat16() -> bool:
    """torch has no public question for it, so it is tried once: builds for ARM may lack oneDNN, processors bfloat16."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        torch.zeros(1, 1, dtype=torch.bfloat16).to_mkldnn().softmax(dim=-1).to_dense()
    except (RuntimeError, AttributeError):  # NotImplementedError is a RuntimeError
        return False
    return True
