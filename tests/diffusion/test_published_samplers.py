"""Samplers of SiT's and DiT's scripts: parity with the authors' code, exact marginals of Gaussians, scipy's RK45.

Moments without sampling: of Gaussian data every stochastic sampler is affine in its start and in its noise, so that
columns of unit vectors give the exact mean and variance of what it makes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.counted import Counted
from scipy.integrate import solve_ivp
from torch import Tensor

from rpe2d_bench.diffusion import PATHS, SAMPLERS, Flow, path
from rpe2d_bench.diffusion.ancestral import respaced
from rpe2d_bench.diffusion.dopri5 import dopri5
from rpe2d_bench.errors import UserError

GOLDEN = json.loads((Path(__file__).parent.parent / "fixtures" / "sit_dit_samplers.json").read_text())
INDEX = torch.arange(12, dtype=torch.float64)
START = (2 * torch.sin(1.7 * INDEX + 0.3)).float().view(1, 3, 2, 2)
WEIGHT = torch.tensor([0.5, -0.8, 0.3]).view(1, 3, 1, 1)
LEVELS = 1000


def golden_noise() -> Callable[[], Tensor]:
    """The closed form that stood for noise when the golden numbers were made."""
    calls = iter(range(1, 10_000))
    return lambda: (1.3 * torch.cos(0.9 * INDEX + 2.1 * next(calls))).float().view(1, 3, 2, 2)


def sit_velocity(x: Tensor, t: float | Tensor) -> Tensor:
    """The closed form that stood for SiT, whose time is 1 at data and whose velocity points there."""
    s = 1 - torch.as_tensor(t, dtype=x.dtype).view(-1, 1, 1, 1)
    return -(torch.sin(1.5 * x + 2 * s) * WEIGHT - x * (0.4 + 0.2 * s))


def dit_velocity(x: Tensor, t: float | Tensor) -> Tensor:
    """The closed form that stood for DiT's epsilon at step k, as a velocity of the path."""
    assert isinstance(t, float)
    step = (LEVELS * t - 1) / LEVELS
    eps = torch.sin(1.5 * x + 2 * step) * WEIGHT + 0.6 * x
    here = Flow(dit_velocity, path("linear_betas"), golden_noise()).at(t)
    return here.d_alpha / here.alpha * (x - here.sigma * eps) + here.d_sigma * eps


def end(kind: str, flow: Flow, x: Tensor, steps: int) -> Tensor:
    *_, x = SAMPLERS[kind](flow, x, SAMPLERS[kind].times(steps))
    return x


def apart(found: Tensor, case: dict[str, Any]) -> float:
    expected = torch.tensor(case["x"], dtype=found.dtype).view_as(found)
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


@pytest.mark.parametrize("case", GOLDEN["sit_sde"], ids=lambda case: f"{case['path']} {case['steps']}")
def test_the_sde_is_that_of_sits_script(case: dict[str, Any]) -> None:
    along = path({"Linear": "linear", "GVP": "vp"}[case["path"]])
    assert apart(end("sde", Flow(sit_velocity, along, golden_noise()), START, case["steps"]), case) < 1e-5


@pytest.mark.parametrize("case", GOLDEN["dit_ddpm"], ids=lambda case: f"{case['variance']} {case['steps']}")
def test_ddpm_is_that_of_dits_script_at_both_ends_of_its_variance(case: dict[str, Any]) -> None:
    flow = {kind: Flow(dit_velocity, path("linear_betas"), golden_noise()) for kind in ("ddpm", "ddpm_upper")}
    found = {kind: apart(end(kind, flow[kind], START, case["steps"]), case) for kind in flow}
    same = {"posterior": "ddpm", "learned -1": "ddpm", "upper": "ddpm_upper", "learned 1": "ddpm_upper"}
    for kind, difference in found.items():
        assert difference < 1e-4 if kind == same.get(case["variance"]) else difference > 1e-3


def test_dopri5_is_that_of_sits_script_to_its_tolerance() -> None:
    flow = Flow(sit_velocity, path("linear"), golden_noise())
    loose, tight = GOLDEN["sit_dopri5"]
    found, theirs = end("dopri5", flow, START.double(), 250), torch.tensor(loose["x"], dtype=torch.float64)
    assert apart(found, loose) < 5e-3  # four steps: theirs overshoot and interpolate back
    assert apart(found, tight) < 2 * apart(theirs.view_as(found), tight)
    options = {"absolute": tight["atol"], "relative": tight["rtol"]}
    *_, x = dopri5(flow, START.double(), SAMPLERS["dopri5"].times(250), **options)
    assert apart(x, tight) < 1e-7


@pytest.mark.parametrize("steps", [2, 11, 50])
def test_steps_of_ddpm_are_kept_as_in_dits_code(steps: int) -> None:
    kept = [round(LEVELS * t) - 1 for t in SAMPLERS["ddpm"].times(steps)[:-1]]
    assert kept[::-1] == GOLDEN["dit_kept"][str(steps)]


@pytest.mark.parametrize(("steps", "start"), [(1, 1.0), (1000, 1.0), (1000, 0.3333), (250, 0.4), (25, 0.001)])
def test_steps_of_ddpm_fall_from_its_start(steps: int, start: float) -> None:
    ts = SAMPLERS["ddpm"].times(steps, start=start)
    assert ts[-1] == 0.0
    assert len(set(ts)) == len(ts)
    assert ts == sorted(ts, reverse=True)
    assert ts[0] == pytest.approx(start, abs=0.5 / LEVELS)
    assert respaced(ts) == ts


@pytest.mark.parametrize("start", [1.0, 0.3, 0.02])
def test_the_last_step_of_the_sde_is_a_twenty_fifth_of_the_way(start: float) -> None:
    ts = SAMPLERS["sde"].times(250, start=start)
    assert ts[0] == pytest.approx(start)
    assert ts[-2:] == [pytest.approx(0.04 * start), 0.0]
    assert SAMPLERS["sde"].times(1, start=start) == [start, 0.0]


def moments(kind: str, along: str, steps: int, mean: float, deviation: float) -> Iterator[tuple[float, float, float]]:
    """Time, mean and standard deviation after each step, from noise of the path's own first time; exact."""
    noises = iter(torch.eye(steps + 2, dtype=torch.float64)[2:].view(steps, 1, 1, 1, -1))

    def velocity(x: Tensor, t: float | Tensor) -> Tensor:
        """E[d_alpha x_0 + d_sigma eps | x_t] of data that are normal."""
        assert isinstance(t, float)
        here = flow.at(t)
        variance = (here.alpha * deviation) ** 2 + here.sigma**2
        away = x - here.alpha * mean
        clean = mean + here.alpha * deviation**2 / variance * away
        return here.d_alpha * clean + here.d_sigma * here.sigma / variance * away

    flow = Flow(velocity, path(along), lambda: next(noises))
    ts = SAMPLERS[kind].times(steps)
    first = flow.at(ts[0])
    x = torch.zeros(1, 1, 1, steps + 2, dtype=torch.float64) + first.alpha * mean
    x[..., 1] += math.hypot(first.sigma, first.alpha * deviation)
    for t, state in zip(ts[1:], SAMPLERS[kind](flow, x, ts), strict=True):
        bare = state[..., 0]
        yield t, float(bare), float((state[..., 1:] - bare).norm())


@pytest.mark.parametrize("along", PATHS)
@pytest.mark.parametrize("steps", [1, 3, 40])
def test_ddpm_of_one_image_has_the_paths_marginals_at_every_step(along: str, steps: int) -> None:
    for t, mean, deviation in moments("ddpm", along, steps, 0.7, 0.0):
        at = path(along)(torch.tensor(t, dtype=torch.float64))
        assert (mean, deviation) == pytest.approx((0.7 * float(at.alpha), float(at.sigma)), abs=1e-9)


@pytest.mark.parametrize("along", ["vp", "linear_betas"])
@pytest.mark.parametrize("steps", [3, 40])
def test_the_upper_variance_is_exact_for_normal_data(along: str, steps: int) -> None:
    *before, (_, mean, _) = moments("ddpm_upper", along, steps, 0.0, 1.0)
    assert [deviation for _, _, deviation in before] == pytest.approx([1.0] * (steps - 1), abs=1e-9)
    assert mean == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", ["ddpm", "ddpm_upper"])
def test_both_variances_end_at_the_data_with_many_steps(kind: str) -> None:
    errors = []
    for steps in (100, 1000):
        *_, (_, mean, deviation) = moments(kind, "linear_betas", steps, 0.7, 0.4)
        assert mean == pytest.approx(0.7, abs=5e-3)
        errors.append(abs(deviation - 0.4))
    assert errors[1] < errors[0] / 3
    assert errors[1] < 0.01


@pytest.mark.parametrize("along", ["linear", "vp"])
def test_the_sde_keeps_the_marginals(along: str) -> None:
    errors = []
    for steps in (100, 400):
        found = list(moments("sde", along, steps, 0.7, 0.4))
        for t, mean, deviation in found[:-1]:
            at = path(along)(torch.tensor(t, dtype=torch.float64))
            exact = math.hypot(0.4 * float(at.alpha), float(at.sigma))
            errors.append((steps, abs(deviation - exact)))
            assert mean == pytest.approx(0.7 * float(at.alpha), abs=2 / steps)
        assert found[-1][1:] == pytest.approx((0.7, 0.4), abs=0.02)
    worst = {steps: max(error for n, error in errors if n == steps) for steps in (100, 400)}
    assert worst[400] < worst[100] / 3
    assert worst[400] < 3e-3


@pytest.mark.parametrize("tolerance", [1e-6, 1e-9])
def test_dopri5_agrees_with_scipy_in_its_end_and_its_work(tolerance: float) -> None:
    velocity = Counted(sit_velocity)
    flow, x = Flow(velocity, path("linear"), golden_noise()), START.double()
    *_, found = dopri5(flow, x, SAMPLERS["dopri5"].times(1000), absolute=tolerance, relative=tolerance)
    exact = solve_ivp(
        lambda t, y: sit_velocity(torch.from_numpy(y).view_as(x), t).flatten().numpy(),
        (1.0, 0.0), x.flatten().numpy(), "RK45", rtol=tolerance, atol=tolerance,
    )  # fmt: skip
    assert (found.flatten() - torch.from_numpy(exact.y[:, -1])).abs().max() < 20 * tolerance
    assert velocity.made == pytest.approx(exact.nfev, rel=0.1)


def test_an_image_of_dopri5_does_not_depend_on_its_batch() -> None:
    flow = Flow(sit_velocity, path("linear"), golden_noise())
    together = torch.cat((START, 8 * START, 0.01 * START)).double()
    alone = [end("dopri5", flow, image, 250) for image in together.split(1)]
    assert (end("dopri5", flow, together, 250) - torch.cat(alone)).abs().max() < 1e-12


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_dopri5_arrives_in_as_many_tries_as_it_may_take(tries: int) -> None:
    asked: list[Tensor] = []

    def rough(x: Tensor, t: float | Tensor) -> Tensor:
        assert isinstance(t, Tensor)
        asked.append(t)
        return torch.sin(300 * x) * 50 + torch.full_like(x, math.nan if len(asked) == 9 else 0.0)

    flow, ts = Flow(rough, path("linear"), golden_noise()), SAMPLERS["dopri5"].times(tries)
    states = list(dopri5(flow, START.double(), ts))
    assert len(states) <= tries
    assert len(asked) == 2 + 6 * len(states)
    assert asked[-1].item() == 0.0


@pytest.mark.parametrize(
    ("kind", "steps", "shift", "sentence"),
    [
        ("ddpm", 1001, 1.0, "ddpm has 1000 steps at most"),
        ("ddpm", 50, 2.0, "ddpm has times of its own"),
        ("dopri5", 50, "sqrt_tokens", "sampler.shift: sqrt_tokens: dopri5 has times of its own"),
    ],
)
def test_options_without_use_are_refused(kind: str, steps: int, shift: float | str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        SAMPLERS[kind].check(kind, steps, shift)
    SAMPLERS[kind].check(kind, 50, 1.0)
