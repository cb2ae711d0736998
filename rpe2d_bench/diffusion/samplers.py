"""From noise to images: the table of samplers, plain solvers of the ordinary differential equation, guidance.

A sampler maps (flow, x [B, C, Y, X], times) to a generator of x after each step, so that any of them is a drop-in for
another. A flow is called like a velocity function, (x, t) -> the velocity there; samplers that add noise or divide it
out find their path and their noise in it (flow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from rpe2d_bench.config.entry_points import Table
from rpe2d_bench.diffusion import ancestral, sde
from rpe2d_bench.diffusion import dopri5 as adaptive
from rpe2d_bench.diffusion.flow import Flow
from rpe2d_bench.diffusion.times import times
from rpe2d_bench.errors import UserError


def euler(velocity: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """Explicit Euler: one evaluation a step."""
    for t, t_next in pairwise(ts):
        x = x + (t_next - t) * velocity(x, t)
        yield x


def heun(velocity: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """Heun's second-order method (Karras et al. 2022, algorithm 1): two evaluations a step, one for the last."""
    for t, t_next in pairwise(ts):
        slope = velocity(x, t)
        x_euler = x + (t_next - t) * slope
        if t_next > 0:
            slope = (slope + velocity(x_euler, t_next)) / 2
            x_euler = x + (t_next - t) * slope
        x = x_euler
        yield x


def adams_bashforth(velocity: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
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

    integrate: Callable[[Flow, Tensor, list[float]], Iterator[Tensor]]
    evaluations: Callable[[int], int] = lambda num_steps: num_steps  # of the model, without guidance, by steps
    at: Callable[[list[float]], list[float]] = lambda ts: ts  # its own times, from even or shifted ones
    shifts: bool = True  # whether its times can be shifted
    most_steps: int | None = None
    adaptive: bool = False  # its times follow the error: steps and evaluations are the most it takes

    def __call__(self, flow: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
        return self.integrate(flow, x, ts)

    def times(self, num_steps: int, shift: float = 1.0, start: float = 1.0) -> list[float]:
        """Where its steps begin, and 0 at the end; of an adaptive one the even times that count its steps."""
        return self.at(times(num_steps, shift, start))

    def asked(self, num_steps: int, shift: float = 1.0, start: float = 1.0) -> list[float]:
        """Times at which the model sees images; of an adaptive sampler, whose times are its own, a hundred of them."""
        return (times(100, shift, start) if self.adaptive else self.times(num_steps, shift, start))[:-1]

    def check(self, name: str, steps: int, shift: float | str) -> None:
        """Raises UserError for options that this sampler has no use for."""
        if not self.shifts and shift != 1.0:
            raise UserError(f"sampler.shift: {shift}: {name} has times of its own, which are not shifted; leave it out")
        if self.most_steps is not None and steps > self.most_steps:
            raise UserError(f"sampler.steps: {steps}: {name} has {self.most_steps} steps at most; write fewer")


SAMPLERS: Table[Solver] = Table(
    "rpe2d_bench.samplers",
    "SAMPLERS",
    "sampler",
    {
        "euler": Solver(euler),
        "heun": Solver(heun, lambda num_steps: 2 * num_steps - 1),
        "adams_bashforth": Solver(adams_bashforth),
        "dopri5": Solver(adaptive.dopri5, adaptive.most_evaluations, shifts=False, adaptive=True),
        "sde": Solver(sde.sde, at=sde.with_last_step),
        "ddpm": Solver(ancestral.ddpm, at=ancestral.respaced, shifts=False, most_steps=ancestral.STEPS),
        "ddpm_upper": Solver(ancestral.ddpm_upper, at=ancestral.respaced, shifts=False, most_steps=ancestral.STEPS),
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
