"""One hash for the numbers an encoding realises, so that methods which coincide at a grid are sampled once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.bias import Bias
from rpe2d_bench.encodings.interface import Context, Encoding, Grid, PositionalEncoding


def realised_digest(encoding: PositionalEncoding, grid: Grid, train_grid: Grid, ts: Sequence[float]) -> str:
    """sha256 over what inference applies at every t of ts: addition, rotation, logit scale, bias, learned parts too.

    Two encodings with one digest give one model the same images. Negative zero counts as zero.
    """
    digest = hashlib.sha256()
    try:  # 250 steps of a rule that never looks at the time are one evaluation
        always = _bytes(encoding, grid, train_grid, torch.zeros(1).as_subclass(_Unread))
    except _Read:
        for t in ts:
            digest.update(_bytes(encoding, grid, train_grid, torch.tensor([float(t)])))
    else:
        for _ in ts:
            digest.update(always)
    return digest.hexdigest()


def _bytes(encoding: PositionalEncoding, grid: Grid, train_grid: Grid, t: Tensor) -> bytes:
    """What inference applies at one time."""
    with torch.no_grad():
        realised = encoding(Context(grid=grid, train_grid=train_grid, t=t))
    parts = []
    for name, value in numbers(realised):
        parts.append(f"{name}{tuple(value.shape)}".encode())
        parts.append((value.detach().float().cpu() + 0.0).contiguous().numpy().tobytes())
    return b"".join(parts)


class _Read(BaseException):
    """A rule looked at the time; no rule's own `except Exception` takes it."""


class _Unread(Tensor):
    """A time [1] of which only the form and the device may be asked: whatever needs its value raises _Read."""

    _FORM = tuple(getattr(Tensor, name).__get__ for name in ("device", "dtype", "shape", "ndim"))

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in cls._FORM:
            raise _Read
        return func(torch.zeros(1))


def numbers(encoding: Encoding) -> list[tuple[str, Tensor]]:
    """The parts of an encoding that are there, by name; the logit scale always, as [B]."""
    scale = torch.as_tensor(encoding.logit_scale, dtype=torch.float32).reshape(-1)
    parts = [("additive", encoding.additive_BND), ("angles", encoding.angles_BHNF), ("logit_scale", scale)]
    found = [(name, value) for name, value in parts if value is not None]
    found += [("averaged", angles) for angles in encoding.averaged_angles]
    return found if encoding.bias is None else found + pair_numbers(encoding.bias)


def pair_numbers(bias: Bias) -> list[tuple[str, Tensor]]:
    """Where the tokens are and what the rule says of pairs of them, for every head.

    On evenly spaced rows and columns the pairs of each corner token with all tokens show every displacement that
    occurs; elsewhere all pairs are evaluated.
    """
    y_N, x_N = bias.y_BN[0], bias.x_BN[0]
    heads_H1 = torch.arange(bias.heads, device=y_N.device)[:, None]
    found = [("y", y_N), ("x", x_N), ("layers", torch.tensor(bias.pair.layers))]
    for query in corners(y_N, x_N):
        dy_1N, dx_1N = (y_N[query] - y_N)[None], (x_N[query] - x_N)[None]
        found.append(("addition", bias.pair.addition(dy_1N, dx_1N, heads_H1)))
        factor = bias.pair.factor(dy_1N, dx_1N, heads_H1)
        if factor is not None:
            found.append(("factor", factor))
    return found


def corners(y_N: Tensor, x_N: Tensor) -> list[int]:
    """Indices of the four corner tokens, or of all tokens where rows or columns are not evenly spaced."""
    width = int((y_N == y_N[0]).sum())
    if all(torch.allclose(p.diff(), p.diff()[:1].expand(len(p) - 1)) for p in (y_N[::width], x_N[:width])):
        return [0, width - 1, len(y_N) - width, len(y_N) - 1]
    return list(range(len(y_N)))
