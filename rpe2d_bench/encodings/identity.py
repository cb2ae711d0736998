"""One hash for the numbers an encoding realises, so that methods which coincide at a grid are sampled once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context, Encoding, Grid, PositionalEncoding


def realised_digest(encoding: PositionalEncoding, grid: Grid, train_grid: Grid, ts: Sequence[float]) -> str:
    """sha256 over what inference applies at every t of ts: addition, rotation, logit scale, learned parts included.

    Two encodings with one digest give one model the same images. Negative zero counts as zero.
    """
    digest = hashlib.sha256()
    for t in ts:
        with torch.no_grad():
            realised = encoding(Context(grid=grid, train_grid=train_grid, t=torch.tensor([float(t)])))
        for name, value in numbers(realised):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update((value.detach().float().cpu() + 0.0).contiguous().numpy().tobytes())
    return digest.hexdigest()


def numbers(encoding: Encoding) -> list[tuple[str, Tensor]]:
    """The parts of an encoding that are there, by name; the logit scale always, as [B]."""
    scale = torch.as_tensor(encoding.logit_scale, dtype=torch.float32).reshape(-1)
    parts = [("additive", encoding.additive_BND), ("angles", encoding.angles_BHNF), ("logit_scale", scale)]
    return [(name, value) for name, value in parts if value is not None]
