"""How much larger a grid is than the train grid, the number every training-free method scales by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.errors import UserError

ScaleFrom = Literal["axis", "larger", "area"]


def scale(ctx: Context, axis: int, source: ScaleFrom = "axis", clamp: bool = True) -> float:
    """Scale factor s of an axis: grid / train_grid.

    axis: the axis' own s; larger: the larger of both (FiT's max(h, w) / L); area: the root of their product
    (Lumina's sqrt(h w) / L). clamp: never below 1, so that grids below the train grid are left alone.
    """
    s_h, s_w = ctx.scale_factor(0), ctx.scale_factor(1)
    s = {"axis": (s_h, s_w)[axis], "larger": max(s_h, s_w), "area": (s_h * s_w) ** 0.5}[source]
    factor: float = max(s, 1.0) if clamp else s
    return factor


def device_of(ctx: Context) -> torch.device:
    """Where an encoding's numbers live: with t, else with the generator, else on the CPU."""
    if ctx.t is not None:
        return ctx.t.device
    return ctx.rng.device if ctx.rng is not None else torch.device("cpu")


def time_of(ctx: Context) -> Tensor:
    """t as float64 [B]; UserError where there is none, since a method that depends on time has no default time."""
    if ctx.t is None:
        raise UserError("this frequency rule depends on time: give t (0 = data, 1 = noise), for example --t 0.5")
    return ctx.t.reshape(-1).double()
