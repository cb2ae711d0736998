"""The demands on whole encodings, what a transformer applies.

Shape suffixes: B batch, H heads, N tokens, D model width, K head width, F rotated pairs of a head, Y rows, X columns.
"""

from __future__ import annotations

import copy
from itertools import product

import torch
from torch import Generator, Tensor

from rpe2d_bench.encodings.axial import Axial
from rpe2d_bench.encodings.conformance.demand import (
    GRIDS,
    SIDES,
    TRAIN,
    Demand,
    context,
    finite_in_time,
    float32_under_autocast,
    follows_device,
    repeatable,
    seen_as,
    transposed,
)
from rpe2d_bench.encodings.interface import Context, Encoding, Grid, PositionalEncoding, Positions, rotate

WIDTH, HEADS = 48, 3


def has_shapes(encoding: PositionalEncoding) -> str | None:
    """Finite float32 additive [B|1, N, D] and angles [B|1, heads|1, N, head_width / 2]."""
    for grid in GRIDS:
        for ctx in (context(grid), context(grid, seed=0, batch=3)):
            result = encoding(ctx)
            if not isinstance(result, Encoding):
                return f"returns {type(result).__name__}, not an Encoding"
            for name, value, shape in (
                ("additive_BND", result.additive_BND, (grid.tokens, WIDTH)),
                ("angles_BHNF", result.angles_BHNF, (grid.tokens, WIDTH // HEADS // 2)),
            ):
                if value is None:
                    continue
                heads_fit = name == "additive_BND" or (value.ndim == 4 and value.shape[1] in (1, HEADS))
                if tuple(value.shape[-2:]) != shape or value.shape[0] not in (1, ctx.batch) or not heads_fit:
                    return f"{name} has shape {tuple(value.shape)} on {grid}"
                if value.dtype != torch.float32 or not bool(torch.isfinite(value).all()):
                    return f"{name} is {value.dtype}, finite: {bool(torch.isfinite(value).all())}, on {grid}"
    return None


def resizes(encoding: PositionalEncoding) -> str | None:
    """A learned table has a finite vector for every token of every grid from 14x14 to 40x40."""
    if not any(True for _ in encoding.parameters()) or encoding(context(TRAIN)).additive_BND is None:
        return None
    for height, width in product(SIDES, SIDES):
        with torch.no_grad():
            added_BND = encoding(context(Grid(height, width))).additive_BND
        if added_BND is None or added_BND.shape[1:] != (height * width, WIDTH) or not bool(added_BND.isfinite().all()):
            return f"shape {None if added_BND is None else tuple(added_BND.shape)} on {height}x{width}"
    return None


def is_row_major(encoding: PositionalEncoding) -> str | None:
    """Row-major, height first: on a 2x3 grid angles are a row's part plus a column's, height's channels first."""
    result = encoding(context(Grid(2, 3)))
    if result.angles_BHNF is not None:
        angles_YXF = result.angles_BHNF[0, 0].unflatten(0, (2, 3))
        crossed_F = angles_YXF[0, 0] + angles_YXF[1, 1] - angles_YXF[0, 1] - angles_YXF[1, 0]
        if float(crossed_F.detach().abs().max()) > 1e-5:
            return "angles are not a row's part plus a column's part in row-major order"
    values = first_axial(encoding, result)
    if values is None:
        return None
    values_YXC = values.unflatten(0, (2, 3))
    half = values_YXC.shape[-1] // 2
    if not torch.equal(values_YXC[:, :1, :half].expand(-1, 3, -1), values_YXC[..., :half]):
        return "the first half of the channels changes along a row; it belongs to the height"
    if not torch.equal(values_YXC[:1, :, half:].expand(2, -1, -1), values_YXC[..., half:]):
        return "the second half of the channels changes along a column; it belongs to the width"
    return None


def first_axial(encoding: PositionalEncoding, result: Encoding) -> Tensor | None:
    """[N, channels] of an axial encoding, None for others."""
    if not isinstance(encoding, Axial):
        return None
    return result.additive_BND[0] if result.additive_BND is not None else result.angles_BHNF[0, 0]  # type: ignore[index]


def transposes(encoding: PositionalEncoding) -> str | None:
    """An axial encoding of a transposed grid is the transposed encoding with the channels' halves exchanged."""
    for grid in GRIDS:
        ours, theirs = (first_axial(encoding, encoding(context(g))) for g in (grid, transposed(grid)))
        if ours is None or theirs is None:
            return None
        ours_YXC = ours.unflatten(0, (grid.height, grid.width))
        theirs_YXC = theirs.unflatten(0, (grid.width, grid.height)).transpose(0, 1)
        if not torch.equal(torch.cat(theirs_YXC.chunk(2, dim=-1)[::-1], dim=-1), ours_YXC):
            return f"{grid} and {transposed(grid)} differ by more than their order"
    return None


class Shifted:
    """Positions moved by the same amount on both axes."""

    def __init__(self, positions: Positions, amount: float) -> None:
        self.positions, self.amount = positions, amount

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y_BN, x_BN = self.positions(ctx)
        return y_BN + self.amount, x_BN + self.amount


def is_relative(encoding: PositionalEncoding) -> str | None:
    """Rotary logits do not change when every position moves by the same amount."""
    positions = getattr(encoding, "positions", None)
    if positions is None or encoding(context(TRAIN)).angles_BHNF is None:
        return None
    moved = copy.copy(encoding)
    moved.positions = Shifted(positions, 5.0)  # type: ignore[assignment]
    for grid in (Grid(3, 7), TRAIN):
        q_BHNK, k_BHNK = torch.randn(2, 1, HEADS, grid.tokens, WIDTH // HEADS, generator=Generator().manual_seed(0))
        before, after = (rotate(q_BHNK, a) @ rotate(k_BHNK, a).mT for e in (encoding, moved) for a in [angles(e, grid)])
        if not torch.allclose(before, after, atol=1e-3):
            return f"logits change by up to {float((before - after).detach().abs().max()):.2g} on {grid}"
    return None


def angles(encoding: PositionalEncoding, grid: Grid) -> Tensor:
    found: Tensor | None = encoding(context(grid)).angles_BHNF
    assert found is not None
    return found


def keeps_no_state(encoding: PositionalEncoding) -> str | None:
    """The state_dict holds learned parameters and nothing else, so that stateless methods run on any checkpoint."""
    extra = set(encoding.state_dict()) - {name for name, _ in encoding.named_parameters()}
    return f"state_dict holds {sorted(extra)}; register buffers with persistent=False" if extra else None


ENCODING_DEMANDS: tuple[Demand, ...] = (
    has_shapes,
    resizes,
    is_row_major,
    transposes,
    is_relative,
    repeatable,
    finite_in_time,
    float32_under_autocast,
    seen_as(lambda encoding: copy.deepcopy(encoding).to("meta"), follows_device),
    keeps_no_state,
)
