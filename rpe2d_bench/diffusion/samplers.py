"""From noise to images: ordinary differential equation solvers as generators, guidance, timestep shift.

A velocity function maps (x [B, C, Y, X], t as a float) to the velocity there; every sampler has the same signature
and yields x after each step, so any of them is a drop-in for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from rpe2d_bench.config.entry_points import Table

Velocity = Callable[[Tensor, float], Tensor]


def times(num_steps: int, shift: float = 1.0, start: float = 1.0) -> list[float]:
    """num_steps + 1 times from 1 (noise) to 0 (data); from a start below 1, that share of the steps.

    shift > 1 spends more of them near the noise: t' = s t / (1 + (s - 1) t) (arXiv 2403.03206, equation 23).
    """
    even = torch.linspace(1.0, 0.0, steps_from(start, num_steps) + 1, dtype=torch.float64)
    return (start * (shift * even / (1 + (shift - 1) * even))).tolist()


def steps_from(start: float, num_steps: int) -> int:
    """Steps that are left of a whole run, from t = start."""
    return max(1, round(start * num_steps))


def euler(velocity: Velocity, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """Explicit Euler: one evaluation a step."""
    for t, t_next in pairwise(ts):
        x = x + (t_next - t) * velocity(x, t)
        yield x


def heun(velocity: Velocity, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """Heun's second-order method (Karras et al. 2022, algorithm 1): two evaluations a step, one for the last."""
    for t, t_next in pairwise(ts):
        slope = velocity(x, t)
        x_euler = x + (t_next - t) * slope
        if t_next > 0:
            slope = (slope + velocity(x_euler, t_next)) / 2
            x_euler = x + (t_next - t) * slope
        x = x_euler
        yield x


def adams_bashforth(velocity: Velocity, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """Adams and Bashforth's second-order method for uneven steps: one evaluation a step, the first step is Euler's."""
    slope_before, step_before = None, 0.0
    for t, t_next in pairwise(ts):
        step, slope = t_next - t, velocity(x, t)
        moved = slope if slope_before is None else slope + step / (2 * step_before) * (slope - slope_before)
        x = x + step * moved
        slope_before, step_before = slope, step
        yield x


@dataclass(frozen=True)
class Solver:
    """A sampler as the table has it: what integrates, and what that costs."""

    integrate: Callable[[Velocity, Tensor, list[float]], Iterator[Tensor]]
    evaluations: Callable[[int], int] = lambda num_steps: num_steps  # of the model, without guidance, by steps

    def __call__(self, velocity: Velocity, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
        return self.integrate(velocity, x, ts)


SAMPLERS: Table[Solver] = Table(
    "rpe2d_bench.samplers",
    "SAMPLERS",
    "sampler",
    {
        "euler": Solver(euler),
        "heun": Solver(heun, lambda num_steps: 2 * num_steps - 1),
        "adams_bashforth": Solver(adams_bashforth),
    },
    lambda entry: None if isinstance(entry, Solver) else "it is no rpe2d_bench.diffusion.Solver",
)


def guided(
    conditional: Float[Tensor, "*shape"],
    unconditional: Float[Tensor, "*shape"],
    guidance: float,
    channels: int | None = None,
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance: uncond + w (cond - uncond); 1.0 = none (arXiv 2207.12598).

    channels: only the first so many are guided and the others are the conditional ones; None guides all.
    """
    if channels is None:
        return torch.lerp(unconditional, conditional, guidance)
    first = torch.lerp(unconditional[:, :channels], conditional[:, :channels], guidance)
    return torch.cat((first, conditional[:, channels:]), dim=1)
