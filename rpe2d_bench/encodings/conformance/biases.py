"""The demands on biases, on every grid: square and not, a row, a column, positions that are no whole numbers.

Shape suffixes: B batch, H heads, N tokens, Y rows, X columns.
"""

from __future__ import annotations

import copy
from itertools import product

import torch
from torch import Generator, Tensor

from rpe2d_bench.encodings.bias import Bias, LogitBias, PairBias, placed
from rpe2d_bench.encodings.conformance.demand import SIDES, Demand, seen_as
from rpe2d_bench.encodings.interface import Grid

HEADS = 3
SHAPES = (Grid(1, 1), Grid(1, 17), Grid(17, 1), Grid(3, 7), Grid(8, 8), Grid(14, 40), Grid(21, 15))


def built(rule: LogitBias, heads: int = HEADS) -> PairBias | None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return rule.build(heads)


def on_grid(pair: PairBias, grid: Grid, stride: float = 1.0, start: float = 0.0, heads: int = HEADS) -> Bias:
    """The bias of evenly spaced rows and columns."""
    bias = placed(
        pair, start + stride * torch.arange(grid.height)[None], start + stride * torch.arange(grid.width)[None], heads
    )
    assert bias is not None
    return bias


def laid(pair: PairBias, grid: Grid, stride: float = 1.0, start: float = 0.0) -> tuple[Tensor, Tensor | None]:
    with torch.no_grad():
        return on_grid(pair, grid, stride, start).dense()


def has_shape(rule: LogitBias) -> str | None:
    """float32 [1, H, N, N], no NaN and nothing above all numbers, with 1 to 16 heads; factors are finite."""
    for heads in (1, 2, HEADS, 6, 12, 16):
        if (pair := built(rule, heads)) is None:
            return None
        for grid in SHAPES[:4] if heads != HEADS else SHAPES:
            with torch.no_grad():
                added_BHNN, factor_BHNN = on_grid(pair, grid, heads=heads).dense()
            if added_BHNN.shape != (1, heads, grid.tokens, grid.tokens) or added_BHNN.dtype != torch.float32:
                return f"{added_BHNN.dtype} of shape {tuple(added_BHNN.shape)} for {heads} heads on {grid}"
            if bool((added_BHNN.isnan() | (added_BHNN == torch.inf)).any()):
                return f"NaN or infinite above for {heads} heads on {grid}"
            if factor_BHNN is not None and not bool(factor_BHNN.isfinite().all()):
                return f"a factor is not finite on {grid}"
    return None


def sees_itself(pair: PairBias) -> str | None:
    """Every query sees itself, so that no row of attention is empty."""
    for grid in SHAPES:
        own = laid(pair, grid)[0].diagonal(dim1=-2, dim2=-1)
        if not bool(own.isfinite().all()):
            return f"a token is hidden from itself on {grid}"
    return None


def every_size(pair: PairBias) -> str | None:
    """Every displacement of every grid from 14x14 to 40x40 has a value."""
    head_H11 = torch.arange(HEADS)[:, None, None]
    for height, width in product(SIDES, SIDES):
        dy_Y1, dx_X = torch.arange(1.0 - height, height)[:, None], torch.arange(1.0 - width, width)
        with torch.no_grad():
            added = pair.addition(dy_Y1, dx_X, head_H11)
        if added.shape != (HEADS, 2 * height - 1, 2 * width - 1) or bool(added.isnan().any()):
            return f"shape {tuple(added.shape)}, NaN: {bool(added.isnan().any())}, on {height}x{width}"
    return None


def is_relative(pair: PairBias) -> str | None:
    """Displacements count alone: moving every position by the same amount changes nothing."""
    for grid in (Grid(3, 7), Grid(8, 8)):
        if not torch.allclose(laid(pair, grid)[0], laid(pair, grid, start=5.0)[0], atol=1e-5):
            return f"positions from 0 and from 5 differ on {grid}"
    return None


def takes_positions(pair: PairBias) -> str | None:
    """Positions count and not indices: tokens further apart cost something else, and half tokens are in order."""
    near_BHNN, far_BHNN, half_BHNN = (laid(pair, Grid(5, 6), stride)[0] for stride in (1.0, 3.0, 0.5))
    if bool(half_BHNN.isnan().any()):
        return "NaN for positions half a token apart"
    return "the same for tokens one and three apart" if torch.allclose(near_BHNN, far_BHNN, atol=1e-6) else None


def pairs_agree(pair: PairBias) -> str | None:
    """Evaluated pair by pair, as a kernel does, it gives what is laid out for the mask."""
    rng = Generator().manual_seed(0)
    for grid in (Grid(3, 7), Grid(1, 9)):
        y_BY, x_BX = (5 * torch.rand(2, n, generator=rng).sort(dim=1).values for n in (grid.height, grid.width))
        bias = placed(pair, y_BY, x_BX, HEADS)
        assert bias is not None
        with torch.no_grad():
            added_BHNN, factor_BHNN = bias.dense()
            b, h, q, k = (torch.randint(n, (200,), generator=rng) for n in (2, HEADS, grid.tokens, grid.tokens))
            dy, dx = bias.y_BN[b, q] - bias.y_BN[b, k], bias.x_BN[b, q] - bias.x_BN[b, k]
            one, factor = pair.addition(dy, dx, h), pair.factor(dy, dx, h)
        if not torch.allclose(one, added_BHNN[b, h, q, k], atol=1e-5):
            return f"additions of pairs and of the whole differ on {grid}"
        if (factor is None) != (factor_BHNN is None):
            return "a factor is there for pairs or for the whole, not for both"
        if factor is not None and factor_BHNN is not None:
            whole = factor_BHNN.expand(-1, HEADS, -1, -1)[b, h, q, k]
            if not torch.allclose(factor.broadcast_to(whole.shape), whole, atol=1e-5):
                return f"factors of pairs and of the whole differ on {grid}"
    return None


def repeats(pair: PairBias) -> str | None:
    """Deterministic, and never from torch's global generator."""
    before = torch.random.get_rng_state()
    for grid in SHAPES:
        if not torch.equal(laid(pair, grid)[0], laid(pair, grid)[0]):
            return f"two calls differ on {grid}"
    same = torch.equal(before, torch.random.get_rng_state())
    return None if same else "it draws from torch's global generator"


def is_float32(pair: PairBias) -> str | None:
    """float32, also under bfloat16 autocast, with the same numbers."""
    plain = laid(pair, Grid(3, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = laid(pair, Grid(3, 7))
    same = all(
        a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in zip(plain, cast, strict=True)
    )
    return None if same else "autocast changes the numbers"


def keeps_no_state(pair: PairBias) -> str | None:
    """The state_dict holds learned parameters and nothing else."""
    extra = set(pair.state_dict()) - {name for name, _ in pair.named_parameters()}
    return f"state_dict holds {sorted(extra)}; register buffers with persistent=False" if extra else None


def follows_device(pair: PairBias) -> str | None:
    """Every number lies on the device of the positions (tried on torch's meta device)."""
    places = torch.empty(1, 5, device="meta")
    bias = placed(copy.deepcopy(pair).to("meta"), places, places, HEADS)
    assert bias is not None
    try:
        results = bias.dense()
    except (RuntimeError, NotImplementedError) as e:
        return f"tensors on two devices meet: {e}"
    stays = any(part is not None and part.device.type != "meta" for part in results)
    return "a result stays on the CPU; create tensors on the device of the positions" if stays else None


ON_PAIRS: tuple[Demand, ...] = (
    sees_itself,
    every_size,
    is_relative,
    takes_positions,
    pairs_agree,
    repeats,
    is_float32,
    keeps_no_state,
    follows_device,
)
BIAS_DEMANDS: tuple[Demand, ...] = (has_shape, *(seen_as(built, demand) for demand in ON_PAIRS))
