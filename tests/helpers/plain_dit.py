"""DiT written as in the paper (arXiv 2212.09748), head by head and without any trick: the reference of the fast one.

It reads the weights of a DiT and computes in their dtype. Shape suffixes as in rpe2d_bench/models/dit.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.encodings import Encoding, rotate
from rpe2d_bench.models import DiT


def plain_forward(dit: DiT, x_BCYX: Tensor, t_B: Tensor, labels_B: Tensor, encoding: Encoding) -> Tensor:
    """Velocity, with weights used one by one."""
    p, heads = dit.options.patch_size, dit.options.heads
    rows, columns = x_BCYX.shape[2] // p, x_BCYX.shape[3] // p
    patches = [
        x_BCYX[:, :, i * p : (i + 1) * p, j * p : (j + 1) * p].flatten(1) for i in range(rows) for j in range(columns)
    ]
    x_BND = dit.patches_in(torch.stack(patches, dim=1))
    if encoding.additive_BND is not None:
        x_BND = x_BND + encoding.additive_BND
    condition_BD = F.silu(dit.time_embedding(dit.time_features(t_B[:, None])) + dit.class_embedding(labels_B))
    for block in dit.blocks:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = block.modulation(condition_BD)[:, None].chunk(6, dim=2)
        qkv = block.qkv(_norm(x_BND) * (1 + scale_a) + shift_a)
        attended = _attention(*qkv.chunk(3, dim=2), heads, encoding)
        x_BND = x_BND + gate_a * block.projection(attended)
        hidden = F.gelu(block.mlp_in(_norm(x_BND) * (1 + scale_m) + shift_m), approximate=dit.options.gelu)
        x_BND = x_BND + gate_m * block.mlp_out(hidden)
    shift, scale = dit.final_modulation(condition_BD)[:, None].chunk(2, dim=2)
    out_BNP = dit.patches_out(_norm(x_BND) * (1 + scale) + shift)
    y_BCYX = torch.zeros_like(x_BCYX)
    for n, patch in enumerate(out_BNP.unbind(1)):
        i, j = divmod(n, columns)
        y_BCYX[:, :, i * p : (i + 1) * p, j * p : (j + 1) * p] = patch.unflatten(1, (-1, p, p))
    return y_BCYX


def _norm(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + 1e-6)


def _attention(q_BND: Tensor, k_BND: Tensor, v_BND: Tensor, heads: int, encoding: Encoding) -> Tensor:
    outs = []
    for head, (q, k, v) in enumerate(zip(*(part.chunk(heads, dim=2) for part in (q_BND, k_BND, v_BND)), strict=True)):
        if encoding.angles_BHNF is not None:
            angles = encoding.angles_BHNF[:, head % encoding.angles_BHNF.shape[1]][:, None]
            q, k = rotate(q[:, None], angles)[:, 0], rotate(k[:, None], angles)[:, 0]
        scale = torch.as_tensor(encoding.logit_scale, dtype=q.dtype).view(-1, 1, 1)
        logits = scale * torch.einsum("bnk,bmk->bnm", q, k) / q.shape[2] ** 0.5
        outs.append(torch.einsum("bnm,bmk->bnk", logits.softmax(dim=2), v))
    return torch.cat(outs, dim=2)
