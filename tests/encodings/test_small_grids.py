"""Ramps on grids so small that their ends change places: what the definition implies, and a sentence about it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rpe2d_bench.cli.plan_view import coinciding
from rpe2d_bench.encodings import FREQUENCIES, Context, EncodingSpec, Grid
from rpe2d_bench.encodings.conformance import parity
from rpe2d_bench.encodings.describe import as_text, describe
from rpe2d_bench.resolve.load import load

GOLDEN = Path(__file__).parents[1] / "golden"
RAMPS = ("yarn", "yarn_turns", "ntk_by_parts", "dype_yarn", "dype_yarn_2025")


def ratio(rule: Any, L: int, F: int, t: float = 1.0, s: int = 2) -> Tensor:
    """Realised over base frequencies."""
    ctx, base = Context(Grid(s * L, s * L), Grid(L, L), torch.tensor([t])), FREQUENCIES["geometric"](theta=rule.theta)
    return rule(ctx, 0, F)[0] / base(ctx, 0, F)[0]


@pytest.mark.parametrize("F", [4, 8, 16, 32])
@pytest.mark.parametrize("theta", [100.0, 1000.0, 10_000.0])
@pytest.mark.parametrize("name", RAMPS)
def test_less_than_every_bound_is_interpolation(name: str, theta: float, F: int) -> None:
    """4 tokens: the fastest channel makes 0.64 turns, fewer than the slow end of every ramp at t = 1.

    The 2025 form squares its bounds there, so that its slow end is 0.56 turns.
    """
    for L in (1, 2, 3) if name == "dype_yarn_2025" else (1, 2, 3, 4):
        torch.testing.assert_close(ratio(FREQUENCIES[name](theta=theta), L, F), torch.full((F,), 0.5))


@pytest.mark.parametrize("F", [4, 8, 16, 32])
@pytest.mark.parametrize("theta", [100.0, 10_000.0])
def test_yarn_up_to_one_turn(theta: float, F: int) -> None:
    yarn = FREQUENCIES["yarn"](theta=theta)
    for L in (5, 6):  # 0.80 and 0.95 turns
        torch.testing.assert_close(ratio(yarn, L, F), torch.full((F,), 0.5))
    assert float(ratio(yarn, 7, F)[0]) == 1  # 1.1 turns: the known index ramp keeps the fastest channel


@pytest.mark.parametrize("name", RAMPS)
def test_no_ramp_speeds_up_along_the_channels(name: str) -> None:
    """The share that is kept never rises from fast to slow channels, and lies between interpolation and base."""
    for L in range(1, 40):
        for theta in (2.0, 100.0, 10_000.0):
            for t in (1.0, 0.8, 0.3, 0.05):
                found = ratio(FREQUENCIES[name](theta=theta), L, 16, t)
                assert bool((found.diff() < 1e-6).all()), (L, theta, t)
                assert 0.5 - 1e-6 < float(found.min()) <= float(found.max()) < 1 + 1e-6


def test_a_long_grid_of_fast_channels_keeps_everything() -> None:
    """Where even the slowest channel makes more turns than the fast end, nothing is scaled."""
    slowest = 65_536 / (2 * math.pi) * 10.0 ** (-7 / 8)
    assert slowest > 32
    torch.testing.assert_close(ratio(FREQUENCIES["yarn"](theta=10.0), 65_536, 8), torch.ones(8))


def test_the_references_turn_over_there() -> None:
    """The marked numbers of both reference codes are base frequencies, as if nothing had been scaled."""
    marked = [
        case for file in GOLDEN.glob("*_frequencies*.json") for case in parity.golden(file)[1] if case.get("turns_over")
    ]
    assert len(marked) == 10
    for case in marked:
        base = [case["options"]["theta"] ** (-i / case["F"]) for i in range(case["F"])]
        assert case["values"] == pytest.approx(base, rel=1e-5)
        assert parity.case_error(FREQUENCIES[case["method"]], case) > 0.1


@pytest.mark.parametrize(
    ("rule", "grids", "output"),
    [
        ("yarn", (Grid(8, 8), Grid(4, 4)), "yarn equals interpolation here: the fastest channel turns 0.64 times"),
        ("yarn", (Grid(8, 4), Grid(4, 4)), "over the train grid (height)"),
        ("ntk_by_parts", (Grid(6, 6), Grid(3, 3)), "ntk_by_parts equals interpolation here"),
        ("riflex", (Grid(9, 9), Grid(8, 8)), "riflex equals extrapolation here"),
    ],
)
def test_what_coincides_is_stated(rule: str, grids: tuple[Grid, Grid], output: str) -> None:
    options = {"repetition": 64} if rule == "riflex" else {}
    spec = EncodingSpec.parse({"kind": "axial_rope", "theta": 100, "frequencies": {"kind": rule, **options}})
    realised = describe(spec, *grids)
    assert output in " ".join(realised.notes)
    assert output in as_text(realised)


@pytest.mark.parametrize("rule", ["geometric", "interpolated", "ntk", "yarn"])
def test_what_does_not_is_not(rule: str) -> None:
    spec = EncodingSpec.parse({"kind": "axial_rope", "frequencies": {"kind": rule}})
    assert describe(spec, Grid(24, 24), Grid(16, 16)).notes == []


def test_a_plan_says_so(tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("{kind: ntk}", "{kind: yarn}"))
    assert any(note.startswith("ntk: yarn equals interpolation here") for note in coinciding(load(tiny)))
