"""The sampler's share: realised times, effective shift, steps spent in noise, and that shifts count tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.diffusion import shift_at, times
from rpe2d_bench.plan.cost import estimate
from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.plan.pace import Pace, passes
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.sampling.schedule import in_words, places_in_words, schedule_at, schedules, warnings
from rpe2d_bench.storage.store import Store


def shifted(t: float, s: float) -> float:
    return s * t / (1 + (s - 1) * t)


@given(st.floats(0.2, 8), st.floats(0.2, 8))
def test_shifts_compose_by_their_product(one: float, two: float) -> None:
    assert [shifted(t, one) for t in times(20, two)] == pytest.approx(times(20, one * two), abs=1e-12)


def test_shifts_count_tokens_and_neither_pixels_nor_latents() -> None:
    """512 px through an autoencoder of 8 and patches of 2 are 32x32 tokens: twice the side of 16x16, shift 2."""
    options = Sampler(shift="sqrt_tokens", steps=10)
    by_tokens = schedule_at(options, (32, 32), (16, 16))
    assert by_tokens.shift == 2
    assert by_tokens == schedule_at(options, (512, 512), (256, 256))
    assert by_tokens.starts == tuple(times(10, 2.0)[:-1])
    assert shift_at("sqrt_tokens", 8 * 8, 16 * 16) == 1
    assert shift_at("sqrt_tokens", 24 * 16, 16 * 16) == pytest.approx(1.5**0.5)


def test_the_share_above_and_its_warning() -> None:
    plain = schedule_at(Sampler(steps=28), (8, 8), (8, 8))
    assert plain.early == pytest.approx(3 / 28)
    assert plain.warning == ""
    flux = schedule_at(Sampler(steps=28, shift=25.3), (8, 8), (8, 8))  # e^3.23, its rule at 2,048 px
    assert round(flux.early * 28) == 21  # as InvokeAI counted
    assert flux.warning == "shift 25.3 leaves 7 of 28 steps below t = 0.9; write a smaller shift or more steps"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, "1 step of euler at t 1, 100% above 0.9"),
        (4, "4 steps of euler at t 1 0.75 0.5 0.25, 25% above 0.9"),
        (8, "8 steps of euler at t 1 0.875 0.75 ... 0.25 0.125, 12% above 0.9"),
    ],
)
def test_a_schedule_in_words_shows_how_it_begins_and_ends(steps: int, expected: str) -> None:
    assert str(schedule_at(Sampler(steps=steps), (8, 8), (8, 8))) == f"shift 1, {expected}"


def test_a_plan_names_schedules_where_they_differ(tiny: Path) -> None:
    experiment = load_experiment(tiny)
    assert len(in_words(schedules(experiment))) == 1
    changed = load_experiment(tiny, ("evaluate.sampler.shift=sqrt_tokens", "evaluate.sampler.steps=4"))
    lines = in_words(schedules(changed))
    assert len(lines) > 1
    assert all(" at " in line and "above 0.9" in line for line in lines)
    assert places_in_words([("a", (8, 8)), ("b", (8, 8)), ("b", (8, 16))]) == "a, b at 8x8; b at 8x16"
    steep = load_experiment(tiny, ("evaluate.sampler.shift=1000",))
    assert warnings(schedules(steep))[0].startswith("sampler: shift 1000 leaves ")


@pytest.mark.parametrize(("kind", "evaluations"), [("euler", 5), ("sde", 5), ("dopri5", 32)])
def test_a_plan_says_where_its_cost_is_a_bound(tiny: Path, tmp_path: Path, kind: str, evaluations: int) -> None:
    experiment = load_experiment(tiny, (f"evaluate.sampler.kind={kind}", "evaluate.sampler.steps=5"))
    plan = make_plan(experiment)
    cost = estimate(plan, Store(tmp_path), Pace())
    assert cost.at_most is (kind == "dopri5")
    assert {passes(cell.measure.generated) for cell in plan.trials[0].cells} == {2 * evaluations}  # type: ignore[union-attr, arg-type]
    (line,) = in_words(schedules(experiment))
    assert line.startswith("at most 5 steps of dopri5" if cost.at_most else f"shift 1, 5 steps of {kind} at t 1 ")
