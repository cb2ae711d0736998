"""The demands on positions, drawn or not.

Shape suffixes: B batch, N tokens of one axis.
"""

from __future__ import annotations

from math import comb

import torch

from rpe2d_bench.encodings.conformance.demand import (
    GRIDS,
    TRAIN,
    Demand,
    context,
    expects_identity,
    follows_device,
    repeatable,
    same,
    transposed,
)
from rpe2d_bench.encodings.interface import Positions
from rpe2d_bench.encodings.random_positions import RandomPositions

DRAWS = 4096


def positions_have_shape(rule: Positions) -> str | None:
    """Two finite float32 tensors, [B|1, height] and [B|1, width], while training and at inference."""
    for grid in GRIDS:
        for seed, rows in ((None, (1,)), (0, (1, 3))):
            for values, n in zip(rule(context(grid, seed=seed, batch=3)), (grid.height, grid.width), strict=True):
                if values.ndim != 2 or values.shape[1] != n or values.shape[0] not in rows:
                    return f"shape {tuple(values.shape)} for {n} tokens of {grid}"
                if values.dtype != torch.float32 or not bool(torch.isfinite(values).all()):
                    return f"{values.dtype}, finite: {bool(torch.isfinite(values).all())}, on {grid}"
    return None


def positions_increase(rule: Positions) -> str | None:
    """Strictly increasing, while training and at inference; never decreasing where `repeats_positions` is True."""
    least = -1e-9 if getattr(rule, "repeats_positions", False) else 0.0
    for grid in GRIDS:
        for seed in (None, 0):
            for values_BN in rule(context(grid, seed=seed, batch=DRAWS if seed == 0 else 1)):
                if not bool((values_BN.diff(dim=1) > least).all()):
                    return f"not strictly increasing on {grid}" + (" while training" if seed == 0 else "")
    return None


def positions_keep_train_grid(rule: Positions) -> str | None:
    """Neighbours are one apart on the train grid, unless identity_at_train_grid is False."""
    if not expects_identity(rule):
        return None
    for values_BN in rule(context(TRAIN)):
        if not bool((values_BN.diff(dim=1) == 1).all()):
            return f"gaps of {values_BN.diff(dim=1).unique().tolist()}"
    return None


def positions_transpose(rule: Positions) -> str | None:
    """A transposed grid exchanges the two axes."""
    for grid in GRIDS:
        y_BN, x_BN = rule(context(grid))
        if not same((x_BN, y_BN), rule(context(transposed(grid)))):
            return f"{grid} and {transposed(grid)} differ by more than the order of the axes"
    return None


def draws(rule: Positions) -> bool:
    """Whether the rule uses the generator it is given."""
    return not same(rule(context(TRAIN, seed=0, batch=4)), rule(context(TRAIN, seed=1, batch=4)))


def draws_differ(rule: Positions) -> str | None:
    """Draws differ between samples (unless per: batch) and between the axes (unless tied)."""
    if not draws(rule):
        return None
    y_BN, x_BN = rule(context(TRAIN, seed=0, batch=64))
    if getattr(rule, "per", "sample") == "sample" and len(y_BN.unique(dim=0)) < 2:
        return "every sample of the batch has the same positions"
    if not getattr(rule, "tied", False) and torch.equal(y_BN, x_BN):
        return "both axes have the same positions"
    return None


def draws_cover_inference(rule: Positions) -> str | None:
    """Every position used at inference lies within half a token of those that training draws."""
    if not draws(rule):
        return None
    drawn = rule(context(TRAIN, seed=0, batch=DRAWS))
    if isinstance(rule, RandomPositions):
        for values_BN, m in zip(drawn, rule.max_grid, strict=True):
            if float(values_BN.min()) < 0 or float(values_BN.max()) > m - 1:
                return f"draws outside [0, {m - 1}]"
    if getattr(rule, "per", "sample") != "sample":
        many = [rule(context(TRAIN, seed=s)) for s in range(512)]
        drawn = torch.cat([y for y, _ in many]), torch.cat([x for _, x in many])
    for grid in GRIDS if isinstance(rule, RandomPositions) else (TRAIN,):
        for used_BN, seen_BN in zip(rule(context(grid)), drawn, strict=True):
            low, high = float(seen_BN.min()) - 0.5, float(seen_BN.max()) + 0.5
            if float(used_BN.min()) < low or float(used_BN.max()) > high:
                return f"on {grid} inference uses {used_BN.min():g} to {used_BN.max():g}, training {low:g} to {high:g}"
    return None


def draws_are_uniform_subsets(rule: Positions) -> str | None:
    """Integer draws are uniform subsets: how often each position and each gap occurs, by chi-square (p > 1e-6)."""
    if not isinstance(rule, RandomPositions) or rule.draw != "integer" or rule.per != "sample":
        return None
    n, m = TRAIN.height, rule.max_grid[0]
    y_BN, _ = rule(context(TRAIN, seed=0, batch=DRAWS))
    occurs = torch.bincount(y_BN.flatten().long(), minlength=m).double()
    # positions of one draw exclude each other, which shrinks the variance by (m - n) / (m - 1)
    chi = float(((occurs - DRAWS * n / m) ** 2 / (DRAWS * n / m)).sum()) * (m - 1) / max(m - n, 1)
    if chi_square_tail(chi, m - 1) < 1e-6:
        return f"positions occur unevenly: chi-square {chi:.1f} with {m - 1} degrees of freedom"
    first = torch.bincount((y_BN[:, 1] - y_BN[:, 0]).long(), minlength=m - n + 2).double()[1:]
    expected = torch.tensor([DRAWS * comb(m - g, n - 1) / comb(m, n) for g in range(1, m - n + 2)]).double()
    bins = max(int((expected >= 5).sum()), 1)  # what is rarer goes into one bin
    first = torch.cat((first[: bins - 1], first[bins - 1 :].sum()[None]))
    expected = torch.cat((expected[: bins - 1], expected[bins - 1 :].sum()[None]))
    chi = float(((first - expected) ** 2 / expected).sum())
    if bins > 1 and chi_square_tail(chi, bins - 1) < 1e-6:
        return f"gaps are not those of a uniform subset: chi-square {chi:.1f} with {bins - 1} degrees of freedom"
    return None


def chi_square_tail(value: float, freedom: int) -> float:
    """P(chi-square > value), the regularised upper incomplete gamma function."""
    half = torch.tensor(freedom / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, torch.tensor(value / 2, dtype=torch.float64)))


POSITION_DEMANDS: tuple[Demand, ...] = (
    positions_have_shape,
    positions_increase,
    positions_keep_train_grid,
    positions_transpose,
    repeatable,
    follows_device,
    draws_differ,
    draws_cover_inference,
    draws_are_uniform_subsets,
)
