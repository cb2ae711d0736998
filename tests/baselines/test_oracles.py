"""Closed forms, written independently, for methods without public code and for limits every method has."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, Context, Grid
from rpe2d_bench.errors import UserError

SCALED = ["interpolated", "ntk", "ntk_lumina", "ntk_by_parts", "yarn", "yarn_turns", "time_aware", "dype_ntk"]
TIMED = ["time_aware", "dype_interpolated", "dype_ntk", "dype_yarn", "dype_yarn_2025"]
widths, sides = st.integers(2, 24), st.integers(2, 64)


def freq(name: str, grid: Grid, train: Grid, F: int, axis: int = 0, t: float = 0.5, **options: object) -> list[float]:
    ctx = Context(grid=grid, train_grid=train, t=torch.tensor([t]))
    return FREQUENCIES[name](**options)(ctx, axis, F)[0].tolist()


def base(F: int, theta: float = 1e4) -> list[float]:
    return [theta ** (-2 * i / (2 * F)) for i in range(F)]


@given(widths, sides, sides)
def test_ntk_leaves_the_fastest_channel_and_interpolates_the_slowest(F: int, n: int, L: int) -> None:
    values, s = freq("ntk", Grid(n, n), Grid(L, L), F, theta=100.0), max(n / L, 1)
    d = 2 * F
    expected = [(100.0 * s ** (d / (d - 2))) ** (-2 * i / d) for i in range(F)]
    assert values == pytest.approx(expected, rel=1e-6)
    assert values[0] == 1
    assert values[-1] == pytest.approx(base(F, 100.0)[-1] / s, rel=1e-6)


@given(widths, sides, sides)
def test_yarn_turns_is_linear_in_turns(F: int, n: int, L: int) -> None:
    s = max(n / L, 1)
    expected = []
    for theta_i in base(F):
        r = L * theta_i / (2 * math.pi)
        gamma = 0 if r < 1 else 1 if r > 32 else (r - 1) / 31
        expected.append((1 - gamma) * theta_i / s + gamma * theta_i)
    assert freq("yarn_turns", Grid(n, n), Grid(L, L), F) == pytest.approx(expected, rel=1e-6)


@given(widths, sides, sides, st.floats(0, 1))
def test_dype_interpolates_by_a_power_of_s_that_fades_with_time(F: int, n: int, L: int, t: float) -> None:
    s = max(n / L, 1)
    values = freq("dype_interpolated", Grid(n, n), Grid(L, L), F, t=t)
    assert values == pytest.approx([f / s ** (2 * t * t) for f in base(F)], rel=1e-5)


@given(sides, sides)
def test_interpolation_by_ends_puts_the_last_token_on_the_last_trained_position(n: int, L: int) -> None:
    values = freq("interpolated", Grid(n, n), Grid(L, L), 4, span="ends", clamp=False)
    assert [(n - 1) * v for v in values] == pytest.approx([(L - 1) * f for f in base(4)], rel=1e-5)


@given(widths, sides, sides)
def test_dominant_turns_once_round_the_new_side(F: int, n: int, L: int) -> None:
    values, plain = freq("dominant", Grid(n, n), Grid(L, L), F, theta=100.0), base(F, 100.0)
    changed = [i for i in range(F) if not math.isclose(values[i], plain[i], rel_tol=1e-6)]
    nearest = min(range(F), key=lambda i: abs(2 * math.pi / plain[i] - L))
    if n > L and 2 * math.pi / n < plain[nearest] * (1 - 1e-6):
        assert changed == [nearest]
        assert n * values[nearest] == pytest.approx(2 * math.pi, rel=1e-6)
    else:
        assert changed == []


def test_riflex_stays_within_nine_tenths_of_a_turn_and_acts_only_past_the_period() -> None:
    """HunyuanVideo's example: base 256, d = 16, repetition at 48 gives the fourth channel and a period of 50."""
    values, plain = freq("riflex", Grid(96, 96), Grid(48, 48), 8, theta=256.0), base(8, 256.0)
    assert [i for i in range(8) if not math.isclose(values[i], plain[i], rel_tol=1e-6)] == [3]
    assert 96 * values[3] == pytest.approx(0.9 * 2 * math.pi, rel=1e-6)
    assert freq("riflex", Grid(50, 50), Grid(48, 48), 8, theta=256.0) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("name", SCALED)
def test_below_the_train_grid_the_clamp_is_an_option(name: str) -> None:
    small, train = Grid(8, 8), Grid(16, 16)
    t = 0.9  # interpolation's side of Lumina's switch
    assert freq(name, small, train, 8, t=t) == freq("geometric", small, train, 8)
    assert freq(name, small, train, 8, t=t, clamp=False) != freq("geometric", small, train, 8)


@pytest.mark.parametrize("name", ["interpolated", "ntk", "yarn", "dype_ntk"])
def test_the_scale_comes_from_the_axis_the_larger_axis_or_the_area(name: str) -> None:
    grid, train = Grid(16, 32), Grid(16, 16)
    per_axis, larger, area = (freq(name, grid, train, 8, scale_from=how) for how in ("axis", "larger", "area"))
    assert per_axis == freq(name, Grid(16, 16), train, 8)
    assert larger == freq(name, Grid(32, 32), train, 8)
    middle = Grid(32, 16)
    assert area == pytest.approx(freq(name, middle, train, 8, axis=1, scale_from="area"), rel=1e-6)
    assert area != per_axis
    assert area != larger


def test_defaults_of_the_scale_are_the_published_ones() -> None:
    assert [FREQUENCIES[n]().scale_from for n in ("interpolated", "ntk", "yarn", "yarn_turns", "dype_yarn")] == [
        "axis"
    ] * 5
    assert [FREQUENCIES[n]().scale_from for n in ("ntk_lumina", "time_aware")] == ["area"] * 2
    assert LOGIT_SCALES["yarn"]().scale_from == "larger"


def test_lumina_switches_at_three_tenths_of_its_own_time() -> None:
    """Lumina's t = 0 is noise: it interpolates below 0.3, which is above 0.7 here."""
    grid, train = Grid(32, 32), Grid(16, 16)
    early, late = (freq("time_aware", grid, train, 8, t=t) for t in (0.75, 0.65))
    assert early == freq("interpolated", grid, train, 8)
    assert late == freq("ntk_lumina", grid, train, 8)


@pytest.mark.parametrize("name", TIMED)
def test_samples_follow_their_own_time(name: str) -> None:
    grid, train = Grid(32, 24), Grid(16, 16)
    ts = torch.tensor([0.05, 0.4, 0.95])
    together = FREQUENCIES[name]()(Context(grid, train, t=ts), 1, 8)
    alone = [freq(name, grid, train, 8, axis=1, t=float(t)) for t in ts]
    torch.testing.assert_close(together, torch.tensor(alone))
    assert len(together.unique(dim=0)) > 1


@pytest.mark.parametrize("name", TIMED)
def test_time_has_no_default(name: str) -> None:
    with pytest.raises(UserError, match="depends on time"):
        FREQUENCIES[name]()(Context(Grid(16, 16), Grid(8, 8)), 0, 8)


@given(sides, sides, sides)
def test_logit_scales_follow_their_formulas(h: int, w: int, L: int) -> None:
    ctx = Context(Grid(h, w), Grid(L, L))
    N, N0, m = h * w, L * L, max(h, w)
    assert LOGIT_SCALES["proportional_sqrt"]()(ctx) == pytest.approx(math.sqrt(math.log(N, N0)))
    assert LOGIT_SCALES["proportional_log"]()(ctx) == pytest.approx(max(1, math.log(N, N0)))
    assert LOGIT_SCALES["yarn"]()(ctx) == pytest.approx((0.1 * math.log(max(m / L, 1)) + 1) ** 2)
    assert LOGIT_SCALES["fit_code"]()(ctx) == pytest.approx(math.log(2 * N, N0) if 2 * N > N0 else 1)


def test_published_values_of_the_logit_scales() -> None:
    """FiT's code scales even its train grid; at 512 px the code has 1.375, the paper 1.25, Jin et al. 1.118."""
    at = {n: Context(Grid(n, n), Grid(16, 16)) for n in (16, 20, 24, 32)}
    assert [round(LOGIT_SCALES["fit_code"]()(at[n]), 4) for n in (16, 20, 32)] == [1.125, 1.2055, 1.375]
    assert round(LOGIT_SCALES["proportional_log"]()(at[20]), 4) == 1.0805
    assert round(LOGIT_SCALES["proportional_log"]()(at[32]), 4) == 1.25
    assert round(LOGIT_SCALES["proportional_sqrt"]()(at[32]), 3) == 1.118
    assert [round(LOGIT_SCALES["yarn"]()(at[n]), 4) for n in (24, 32)] == [1.0827, 1.1434]
