"""Randomized YaRN scales to its range at every grid; interpolation gated by time stretches early and only early."""

from __future__ import annotations

import pytest
import torch

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, Context, Grid, build
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.errors import UserError

RANDOM = {"kind": "random", "max_grid": [32, 32]}
TRAIN = Grid(16, 16)


def test_one_spectrum_serves_every_grid_of_the_range_in_training_too() -> None:
    encoding = build({"kind": "randomized_yarn", "theta": 100, "positions": RANDOM}, width=96, heads=3)
    at_range = Context(Grid(32, 32), TRAIN)
    expected = FREQUENCIES["yarn"](theta=100.0)(at_range, 0, 8)
    for grid, rng in ((TRAIN, torch.Generator().manual_seed(0)), (Grid(8, 24), None), (Grid(32, 32), None)):
        now = encoding(Context(grid, TRAIN, rng=rng, batch=2))
        assert now.logit_scale == pytest.approx(LOGIT_SCALES["yarn"]()(at_range))
        row = (now.angles_BHNF[0, 0, grid.width] - now.angles_BHNF[0, 0, 0])[:8]  # from the first row to the second
        step = float(row[0] / expected[0, 0])
        torch.testing.assert_close(row, step * expected[0])


def test_its_range_is_that_of_its_positions() -> None:
    with pytest.raises(UserError, match="write positions with a max_grid"):
        build({"kind": "randomized_yarn", "positions": {"kind": "grid"}}, width=96, heads=3)


def test_the_gate_is_a_switch_in_time_for_each_sample() -> None:
    plain = FREQUENCIES["geometric"]()
    for clamp, factor in ((False, 0.5), (True, 1.0)):
        rule = FREQUENCIES["interpolated_early"](clamp=clamp)
        ctx = Context(Grid(8, 8), TRAIN, torch.tensor([1.0, 0.91, 0.9, 0.3]), batch=4)
        ratio = rule(ctx, 0, 4) / plain(ctx, 0, 4)
        assert ratio[:, 0].expand(4).tolist() == pytest.approx([1 / factor, 1 / factor, 1, 1])
    larger = Context(Grid(32, 32), TRAIN, torch.tensor([1.0, 0.5]))
    assert FREQUENCIES["interpolated_early"]()(larger, 0, 4)[:, 0].tolist() == pytest.approx([0.5, 1])


def test_a_gate_does_not_move_the_address_of_interpolation() -> None:
    spec = {"kind": "axial_rope", "frequencies": {"kind": "interpolated"}}
    assert set(EncodingSpec.parse(spec).canonical["frequencies"]) == {"kind", "theta", "scale_from", "span", "clamp"}
