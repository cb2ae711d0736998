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


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; Apple's GPUs do not. Asked of the device itself."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.empty((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def wide(device: torch.device) -> torch.dtype:
    """The widest floating type of a device.

    In float32 frequencies are off by up to 1e-6 of themselves, and a ramp that starts within 1e-6 of a channel may
    start at the next one.
    """
    return torch.float64 if has_float64(device) else torch.float32


def time_of(ctx: Context) -> Tensor:
    """t as [B], float64 where its device has that; UserError where there is none.

    A method that depends on time has no default time.
    """
    if ctx.t is None:
        raise UserError("this frequency rule depends on time: give t (0 = data, 1 = noise), for example --t 0.5")
    return ctx.t.reshape(-1).to(wide(ctx.t.device))
