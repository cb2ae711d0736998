"""What the demands of the conformance suite share: grids, contexts and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Generator, Tensor

from rpe2d_bench.encodings.interface import Context, Encoding, Grid

Demand = Callable[[Any], str | None]  # what is wrong, or None

TRAIN = Grid(8, 8)
SIDES = range(14, 41)  # where resized tables have been known to come out one token short
GRIDS = (Grid(1, 1), Grid(1, 17), Grid(17, 1), Grid(3, 7), Grid(8, 8), Grid(24, 40))
TRAINS = (
    Grid(8, 8),
    Grid(16, 16),
    Grid(7, 13),
    Grid(2, 5),
    Grid(1, 9),
    Grid(9, 1),
    Grid(1, 1),
)  # of what stays


def context(
    grid: Grid, t: float | list[float] = 0.5, seed: int | None = None, batch: int = 1, train: Grid = TRAIN
) -> Context:
    """Inference at t, on the suite's train grid unless another is given; with a seed, training."""
    ts = torch.tensor([t] if isinstance(t, float) else t)
    rng = None if seed is None else Generator().manual_seed(seed)
    return Context(grid=grid, train_grid=train, t=ts, rng=rng, batch=batch)


def transposed(grid: Grid) -> Grid:
    return Grid(grid.width, grid.height)


def tensors(value: Any) -> list[Tensor]:
    """Everything numeric that a rule or an encoding returned."""
    if isinstance(value, Encoding):
        laid = () if value.bias is None else value.bias.dense()
        hidden_too = [None if part is None else part.clamp_min(-1e30) for part in laid]  # -inf is a value here
        parts = (value.additive_BND, value.angles_BHNF, torch.as_tensor(value.logit_scale), *value.averaged_angles)
        parts = (*parts, *hidden_too)
        return [part for part in parts if part is not None]
    return list(value) if isinstance(value, tuple) else [torch.as_tensor(value)]


def same(a: Any, b: Any) -> bool:
    """Equal numbers, bit for bit."""
    left, right = tensors(a), tensors(b)
    return len(left) == len(right) and all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


def changes_global_rng(call: Callable[[Context], Any], ctx: Context) -> bool:
    """Whether a call consumes torch's global random state."""
    before = torch.random.get_rng_state()
    call(ctx)
    return not torch.equal(before, torch.random.get_rng_state())


def expects_identity(method: Any) -> bool:
    """Whether nothing may change at the train grid."""
    return bool(getattr(method, "identity_at_train_grid", True))


def unchanged_grids(method: Any) -> list[tuple[Grid, Grid]]:
    """(grid, train grid) at which a method declares to change nothing.

    The train grid, unless `identity_at_train_grid` is False; also every grid that is smaller on both axes for methods
    that clamp (`clamp` is true) or have `identity_below_train_grid = True`.
    """
    if not expects_identity(method):
        return []
    found = [(train, train) for train in TRAINS]
    if getattr(method, "clamp", None) is True or getattr(method, "identity_below_train_grid", False):
        for train in TRAINS:
            h, w = train.height, train.width
            found += [(Grid(a, b), train) for a in {1, (h + 1) // 2, h} for b in {1, (w + 1) // 2, w}]
    return found


def repeatable(call: Callable[[Context], Any]) -> str | None:
    """Deterministic without rng, reproducible with it, never from torch's global generator."""
    for grid in GRIDS:
        if not same(call(context(grid)), call(context(grid))):
            return f"two calls without rng differ on {grid}"
        if not same(call(context(grid, seed=1, batch=3)), call(context(grid, seed=1, batch=3))):
            return f"two calls with one seed differ on {grid}"
    for ctx in (context(TRAIN), context(TRAIN, seed=1)):
        if changes_global_rng(call, ctx):
            return "it draws from torch's global generator; draw from ctx.rng"
    return None


def finite_in_time(call: Callable[[Context], Any]) -> str | None:
    """Finite at t = 0 and t = 1, and each sample of a batch follows its own t."""
    for grid in GRIDS:
        for t in (0.0, 1.0):
            if not all(bool(torch.isfinite(x).all()) for x in tensors(call(context(grid, t=t)))):
                return f"not finite at t = {t:g} on {grid}"
        together = tensors(call(context(grid, t=[0.0, 1.0], batch=2)))
        alone = tensors(call(context(grid, t=1.0)))
        for x, y in zip(together, alone, strict=True):
            if not torch.equal(x[-1:] if x.ndim else x, y[-1:] if y.ndim else y):
                return f"in a batch with t = [0, 1] the second sample is not as alone with t = 1, on {grid}"
    return None


def float32_under_autocast(call: Callable[[Context], Any]) -> str | None:
    """float32, also under bfloat16 autocast, with the same numbers."""
    for grid in GRIDS:
        plain = call(context(grid))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = call(context(grid))
        for x, y in zip(tensors(plain), tensors(cast), strict=True):
            if y.is_floating_point() and y.dtype != torch.float32:
                return f"{y.dtype} under autocast on {grid}"
            if not torch.equal(x, y):
                return f"autocast changes the numbers on {grid}"
    return None


def follows_device(call: Callable[[Context], Any]) -> str | None:
    """Every number lies on the device of t.

    So that models on an accelerator work; tried on torch's meta device.
    """
    ctx = Context(grid=Grid(12, 20), train_grid=TRAIN, t=torch.empty(2, device="meta"), batch=2)
    try:
        result = call(ctx)
    except (RuntimeError, NotImplementedError) as e:
        if "meta tensor" in str(e):  # it reads a value of t, which this device cannot give: nothing to say
            return None
        return f"tensors on two devices meet: {e}"
    parts = (result.additive_BND, result.angles_BHNF) if isinstance(result, Encoding) else result
    for part in parts if isinstance(parts, tuple) else (parts,):
        if isinstance(part, Tensor) and part.device.type != "meta":
            return "a result stays on the CPU; create tensors on the device of ctx.t"
    return None


def seen_as(call_of: Callable[[Any], Any], demand: Demand) -> Demand:
    """The demand on what a method comes to; what comes to nothing keeps it."""

    @wraps(demand)
    def on_method(method: Any) -> str | None:
        call = call_of(method)
        return None if call is None else demand(call)

    return on_method
