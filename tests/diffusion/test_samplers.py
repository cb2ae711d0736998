"""Samplers against the exact flow of a Gaussian, guidance and timestep shift.

Data normal with mean m and deviation s have x_t ~ N((1-t) m, (1-t)^2 s^2 + t^2) on the linear path, whose flow keeps
the standardised value: noise z ends at m + s z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from helpers.counted import Counted
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rpe2d_bench.diffusion import SAMPLERS, Flow, guided, path, times
from rpe2d_bench.errors import UserError

MEAN, DEVIATION = 0.7, 0.4


def gaussian_velocity(x: Tensor, t: float | Tensor) -> Tensor:
    """E[eps - x_0 | x_t = x]."""
    t = torch.as_tensor(t, dtype=x.dtype).view(-1, 1, 1, 1)
    variance = (1 - t) ** 2 * DEVIATION**2 + t**2
    return -MEAN + (t - (1 - t) * DEVIATION**2) / variance * (x - (1 - t) * MEAN)


def flow(velocity: Callable[[Tensor, float | Tensor], Tensor]) -> Flow:
    return Flow(velocity, path("linear"), lambda: torch.randn(1, 1, 1, 1))


def error(name: str, num_steps: int) -> float:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).view(1, 1, 3, 3)
    *_, x = SAMPLERS[name](flow(gaussian_velocity), z, times(num_steps))
    return (x - (MEAN + DEVIATION * z)).abs().max().item()


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("adams_bashforth", 2)])
def test_the_error_falls_with_the_order_of_the_method(name: str, order: int) -> None:
    coarse, fine = error(name, 100), error(name, 200)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)
    assert fine < 0.01


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_are_counted_as_made(name: str) -> None:
    sampler, velocity = SAMPLERS[name], Counted(gaussian_velocity)
    states = list(sampler(flow(velocity), torch.zeros(1, 1, 1, 1), sampler.times(7)))
    assert len(states) <= 7 if sampler.adaptive else len(states) == 7
    assert velocity.made == sampler.evaluations(len(states))


@given(num_steps=st.integers(1, 50), shift=st.floats(0.25, 8.0))
@settings(max_examples=50)
def test_shifted_times_fall_from_one_to_zero(num_steps: int, shift: float) -> None:
    ts = times(num_steps, shift)
    assert len(ts) == num_steps + 1
    assert ts[0] == pytest.approx(1.0, abs=1e-12)
    assert ts[-1] == 0.0
    assert all(later < earlier for earlier, later in pairwise(ts))
    even = [1 - i / num_steps for i in range(num_steps + 1)]
    assert ts == pytest.approx([shift * t / (1 + (shift - 1) * t) for t in even])


def test_a_shift_above_one_stays_longer_near_the_noise() -> None:
    assert times(4, 3.0)[2] == pytest.approx(0.75)
    assert times(4, 1.0)[2] == pytest.approx(0.5)


def test_guidance_is_a_line_through_both_predictions() -> None:
    conditional, unconditional = torch.tensor([3.0]), torch.tensor([1.0])
    assert guided(conditional, unconditional, 0.0).item() == 1.0
    assert guided(conditional, unconditional, 1.0).item() == 3.0
    assert guided(conditional, unconditional, 2.5).item() == pytest.approx(6.0)


def test_unknown_samplers_are_named() -> None:
    with pytest.raises(UserError, match="euler"):
        SAMPLERS["eular"]
