"""The demands on frequencies and logit scales.

Shape suffixes: B batch, F rotated channel pairs of one axis.
"""

from __future__ import annotations

from typing import Any

import torch

from rpe2d_bench.encodings.conformance.demand import (
    GRIDS,
    TRAIN,
    Demand,
    context,
    expects_identity,
    finite_in_time,
    float32_under_autocast,
    follows_device,
    repeatable,
    same,
    seen_as,
    transposed,
    unchanged_grids,
)
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import Frequencies, LogitScale

WIDTHS = (1, 4, 8, 18)  # F: head widths 4, 16, 32 and 72


def per_axis(rule: Frequencies, F: int = 8) -> Any:
    return lambda ctx: (rule(ctx, 0, F), rule(ctx, 1, F))


def frequencies_have_shape(rule: Frequencies) -> str | None:
    """Positive finite float32 [B|1, F] for every F."""
    for grid in GRIDS:
        for F in WIDTHS:
            for values_BF in per_axis(rule, F)(context(grid)):
                if values_BF.shape != (1, F) or values_BF.dtype != torch.float32:
                    return f"{values_BF.dtype} of shape {tuple(values_BF.shape)}, not float32 [1, {F}], on {grid}"
                if not bool((torch.isfinite(values_BF) & (values_BF > 0)).all()):
                    return f"not positive and finite for F = {F} on {grid}"
    return None


def frequencies_keep_train_grid(rule: Frequencies) -> str | None:
    """Exactly the geometric frequencies at the train grid at every t, highest first, unless declared otherwise."""
    base = Geometric(theta=float(getattr(rule, "theta", 10_000.0)))
    for F in WIDTHS:
        for t in (0.0, 0.5, 1.0):
            values_BF = rule(context(TRAIN, t=t), 0, F)
            if bool((values_BF.diff(dim=1) > 0).any()):
                return f"not ordered from high to low for F = {F}"
            if expects_identity(rule) and not torch.equal(values_BF, base(context(TRAIN), 0, F)):
                return f"changed at t = {t:g} for F = {F}; if that is meant, set identity_at_train_grid = False"
    return None


def frequencies_change_nothing(rule: Frequencies) -> str | None:
    """The same bits as extrapolation where the method declares to change nothing, also under autocast."""
    base = Geometric(theta=float(getattr(rule, "theta", 10_000.0)))
    for grid, train in unchanged_grids(rule):
        for axis, F, t in ((0, 4, 0.5), (1, 18, 1.0), (0, 18, 0.0)):
            ctx = context(grid, t=t, train=train)
            expected_BF = base(ctx, axis, F)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                cast_BF = rule(ctx, axis, F)
            if not (torch.equal(rule(ctx, axis, F), expected_BF) and torch.equal(cast_BF, expected_BF)):
                return f"changed on {grid} after training on {train} at t = {t:g}"
    return None


def frequencies_transpose(rule: Frequencies) -> str | None:
    """A transposed grid exchanges the frequencies of the two axes."""
    for grid in GRIDS:
        h_BF, w_BF = per_axis(rule)(context(grid))
        if not same((w_BF, h_BF), per_axis(rule)(context(transposed(grid)))):
            return f"{grid} and {transposed(grid)} differ by more than the order of the axes"
    return None


def scale_is_number(rule: LogitScale) -> str | None:
    """A finite number or [B], not negative."""
    for grid in GRIDS:
        value = torch.as_tensor(rule(context(grid)))
        if value.ndim > 1 or not bool((torch.isfinite(value) & (value >= 0)).all()):
            return f"{value.tolist()} on {grid}"
    return None


def scale_keeps_train_grid(rule: LogitScale) -> str | None:
    """Exactly 1 at the train grid at every t, unless identity_at_train_grid is False."""
    for t in (0.0, 0.5, 1.0):
        value = torch.as_tensor(rule(context(TRAIN, t=t)))
        if expects_identity(rule) and not bool((value == 1).all()):
            return f"{value.tolist()} at t = {t:g}"
    return None


def scale_changes_nothing(rule: LogitScale) -> str | None:
    """Exactly 1 where the method declares to change nothing."""
    for grid, train in unchanged_grids(rule):
        value = torch.as_tensor(rule(context(grid, train=train)))
        if not bool((value == 1).all()):
            return f"{value.tolist()} on {grid} after training on {train}"
    return None


def scale_transposes(rule: LogitScale) -> str | None:
    """The same for a grid and its transpose."""
    bad = [grid for grid in GRIDS if not same(rule(context(grid)), rule(context(transposed(grid))))]
    return f"differs for {bad[0]} and its transpose" if bad else None


def as_tensor(rule: LogitScale) -> Any:
    return lambda ctx: torch.as_tensor(rule(ctx), dtype=torch.float32)


FREQUENCY_DEMANDS: tuple[Demand, ...] = (
    frequencies_have_shape,
    frequencies_keep_train_grid,
    frequencies_change_nothing,
    frequencies_transpose,
    *(seen_as(per_axis, demand) for demand in (repeatable, finite_in_time, float32_under_autocast, follows_device)),
)
LOGIT_SCALE_DEMANDS: tuple[Demand, ...] = (
    scale_is_number,
    scale_keeps_train_grid,
    scale_changes_nothing,
    scale_transposes,
    *(seen_as(as_tensor, demand) for demand in (repeatable, finite_in_time)),
)
