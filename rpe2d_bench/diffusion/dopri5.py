"""Dormand and Prince's adaptive method of order 5(4) (J. Comput. Appl. Math. 6, 1980), the default of SiT's script.

Every image has its own time and step, so that it does not depend on the images made together with it. Steps follow the
error as in Hairer, Norsett and Wanner, Solving ODEs I, section II.4: the next is the last times 0.9 ratio^(-1/5).

Shape suffixes: B batch; times and steps are float64 on the images' device (the CPU for Apple's GPUs, which have none),
and the host looks at them once a step: have all images arrived?
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rpe2d_bench.diffusion.flow import Flow

ABSOLUTE, RELATIVE = 1e-6, 1e-3  # tolerances, of SiT's script
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
ROWS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # the solution of order 5
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # order 5 minus order 4


def dopri5(
    flow: Flow, x: Tensor, ts: list[float], *, absolute: float = ABSOLUTE, relative: float = RELATIVE
) -> Iterator[Tensor]:
    """Dormand and Prince's adaptive method, each image with steps of its own, in as many tries as there are steps.

    From ts[0] to 0 in at most len(ts) - 1 tries, x after each; it ends when every image has arrived.
    No step is shorter than what is left over the tries left, and such a step is taken whatever its error: as many
    steps always suffice. A slope that is not finite counts as an error too large.
    """
    t_B = torch.full((len(x),), ts[0], dtype=torch.float64, device=_clock(x))
    slope = flow(x, t_B)
    step_B = _first_step(flow, x, t_B, slope, absolute, relative)
    for left in range(len(ts) - 1, 0, -1):
        shortest_B = t_B / left
        step_B = step_B.clamp(min=shortest_B, max=t_B)
        slopes, moved = [slope], x
        for node, row in zip(NODES, ROWS, strict=True):
            moved = x - _as(step_B, x) * _sum(row, slopes)
            slopes.append(flow(moved, t_B - node * step_B))
        scale = absolute + relative * torch.maximum(x.abs(), moved.abs())
        ratio_B = _size(_as(step_B, x) * _sum(ERROR, slopes) / scale).nan_to_num(torch.inf)
        taken_B = (ratio_B <= 1) | (step_B <= shortest_B)
        taken = taken_B.to(x.device).view(-1, *[1] * (x.ndim - 1))
        x, slope = torch.where(taken, moved, x), torch.where(taken, slopes[-1], slope)
        t_B = torch.where(taken_B, t_B - step_B, t_B)
        step_B = step_B * (0.9 * ratio_B.clamp(min=1e-12) ** -0.2).clamp(0.2, 10.0)
        yield x
        if not t_B.any():
            return


def most_evaluations(tries: int) -> int:
    """Six a try, whose first slope is the last of the one before, and two to start with."""
    return 6 * tries + 2


def _first_step(flow: Flow, x: Tensor, t_B: Tensor, slope: Tensor, absolute: float, relative: float) -> Tensor:
    """Hairer, Norsett and Wanner's guess [B], from the sizes of x, of its slope and of the slope's change."""
    scale = absolute + relative * x.abs()
    value_B, slope_B = _size(x / scale), _size(slope / scale)
    small_B = (value_B < 1e-5) | (slope_B < 1e-5)
    trial_B = torch.where(small_B, 1e-6, 0.01 * value_B / slope_B).minimum(t_B)
    change = flow(x - _as(trial_B, x) * slope, t_B - trial_B) - slope
    fastest_B = slope_B.maximum(_size(change / scale) / trial_B)
    step_B = torch.where(fastest_B <= 1e-15, (trial_B * 1e-3).clamp(min=1e-6), (0.01 / fastest_B) ** 0.2)
    return step_B.minimum(100 * trial_B).nan_to_num(1e-6)


def _sum(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = total + weight * slope
    return total


def _size(x: Tensor) -> Tensor:
    """Root mean square of every image, float64 [B]."""
    return x.flatten(1).square().mean(1).sqrt().to(_clock(x)).double()


def _clock(x: Tensor) -> torch.device:
    """Where times and steps are."""
    return torch.device("cpu") if x.device.type == "mps" else x.device


def _as(step_B: Tensor, x: Tensor) -> Tensor:
    """Steps as factors of images."""
    return step_B.to(x.dtype).to(x.device).view(-1, *[1] * (x.ndim - 1))
