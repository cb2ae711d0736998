"""Where a method declares to change nothing, it gives the bits of extrapolation: rules, encodings, a transformer."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from rpe2d_bench.encodings import (
    FREQUENCIES,
    LOGIT_SCALES,
    AxialRoPE,
    AxialSinCos,
    Context,
    Grid,
    realised_digest,
)
from rpe2d_bench.encodings.conformance.demand import unchanged_grids
from rpe2d_bench.encodings.conformance.suite import check
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.models import DiT, preset

TS = (1.0, 0.7, 0.3, 0.02)
PAIRS = list(product(FREQUENCIES, LOGIT_SCALES))


def declared(*rules: Any) -> list[tuple[Grid, Grid]]:
    """Where all of them change nothing."""
    places = [set(unchanged_grids(rule)) for rule in rules]
    return sorted(set.intersection(*places), key=str)


@pytest.mark.parametrize("theta", [100.0, 10_000.0])
@pytest.mark.parametrize(("frequencies", "logit_scale"), PAIRS)
def test_whole_encodings(frequencies: str, logit_scale: str, theta: float) -> None:
    rule, scale = FREQUENCIES[frequencies](), LOGIT_SCALES[logit_scale]()
    places = declared(rule, scale)
    assert places or logit_scale == "fit_code"
    for grid, train in places[:: max(1, len(places) // 6)]:
        for cls, width in ((AxialRoPE, 32), (AxialSinCos, 64)):
            ours = cls(width, frequencies=rule, logit_scale=scale, theta=theta)
            plain = cls(width, theta=theta)
            assert realised_digest(ours, grid, train, TS) == realised_digest(plain, grid, train, TS)


def test_most_methods_declare_smaller_grids_too() -> None:
    smaller = [name for name in FREQUENCIES if len(unchanged_grids(FREQUENCIES[name]())) > 7]
    assert sorted(smaller) == sorted(FREQUENCIES)
    without = {name for name in FREQUENCIES if len(unchanged_grids(FREQUENCIES[name](**clamp(name)))) > 7}
    assert without == {"geometric", "riflex", "dominant", "resonance"}


def clamp(name: str) -> dict[str, bool]:
    return {"clamp": False} if hasattr(FREQUENCIES[name](), "clamp") else {}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", list(FREQUENCIES))
def test_a_transformer_gives_the_same_bits(name: str, autocast: bool) -> None:
    torch.manual_seed(0)
    dit = DiT(preset("DiT-Nano/4"), channels=1, num_classes=3).eval()
    for parameter in dit.parameters():  # gates start at zero, which would hide everything
        torch.nn.init.normal_(parameter, std=0.05)
    width, t = dit.options.head_width, torch.tensor([0.6])
    for grid in (Grid(8, 8), Grid(5, 3)):
        x = torch.randn(2, 1, 4 * grid.height, 4 * grid.width)
        seen = []
        for rule in (Geometric(), FREQUENCIES[name]()):
            encoding = AxialRoPE(width, frequencies=rule, logit_scale=LOGIT_SCALES["yarn"]())
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                seen.append(
                    dit(x, t.expand(2), torch.zeros(2, dtype=torch.long), encoding(Context(grid, Grid(8, 8), t)))
                )
        assert torch.equal(*seen)


class LeaksBelow(Geometric):
    """Clamps by its word and not by its deed."""

    clamp = True

    def __call__(self, ctx: Context, axis: int, F: int) -> torch.Tensor:
        return super().__call__(ctx, axis, F) / (0.5 if ctx.scale_factor(axis) < 1 else 1.0)


class LeaksUnderAutocast(Geometric):
    def __call__(self, ctx: Context, axis: int, F: int) -> torch.Tensor:
        values = super().__call__(ctx, axis, F)
        return values * (1 + 1e-3 * torch.is_autocast_enabled("cpu"))


@pytest.mark.parametrize(
    ("cls", "output"), [(LeaksBelow, "after training on"), (LeaksUnderAutocast, "after training on")]
)
def test_the_suite_finds_methods_that_change_something(cls: type, output: str) -> None:
    found = [f for f in check(cls) if not f.passed and "same bits as extrapolation" in f.demand]
    assert len(found) == 1
    assert output in found[0].detail
