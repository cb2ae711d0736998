"""The controls of RPE-2D that share its range: a regular grid of random stride, and draws anchored at inference."""

from __future__ import annotations

import pytest
import torch

from baselines.anchored import AnchoredPositions
from baselines.random_stride import RandomStride
from rpe2d_bench.encodings import Context, Grid
from rpe2d_bench.encodings.random_positions import RandomPositions

RANGE = (24, 16)


def training(grid: Grid, batch: int = 512, seed: int = 3) -> Context:
    return Context(grid, grid, rng=torch.Generator().manual_seed(seed), batch=batch)


def test_a_random_stride_is_stride_jitter_without_jitter() -> None:
    for tied in (False, True):
        expected = RandomPositions(RANGE, draw="stride_jitter", jitter=0.0, tied=tied)(training(Grid(8, 8)))
        found = RandomStride(RANGE, tied=tied)(training(Grid(8, 8)))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_random_stride_is_regular_and_covers_the_range_of_random_positions() -> None:
    for p_BN, most in zip(RandomStride(RANGE)(training(Grid(8, 8), 20_000)), RANGE, strict=True):
        strides = p_BN.diff(dim=1)
        torch.testing.assert_close(strides, strides[:, :1].expand_as(strides), atol=1e-4, rtol=0)
        assert float(strides.min()) == pytest.approx(1.0, abs=0.01)
        assert float(strides.max()) == pytest.approx((most - 1) / 7, abs=0.01)
        assert float(p_BN.min()) == pytest.approx(0.0, abs=0.05)
        assert float(p_BN.max()) == pytest.approx(most - 1, abs=0.05)


@pytest.mark.parametrize("side", [4, 8, 12, 16])
def test_strides_at_inference_were_seen_in_training(side: int) -> None:
    y_BN, _ = RandomStride((24, 24))(Context(Grid(side, side), Grid(8, 8)))
    assert float(y_BN.diff(dim=1).mean()) >= 1.0
    if side >= 8:
        assert float(y_BN.diff(dim=1).mean()) <= 23 / 7
    assert float(y_BN.mean()) == pytest.approx(23 / 2)


def test_half_of_the_images_keep_the_inference_layout() -> None:
    grid = Grid(8, 8)
    layout_y, layout_x = RandomPositions(RANGE)(Context(grid, grid))
    y_BN, x_BN = AnchoredPositions(RANGE)(training(grid, 4000))
    drawn_y, drawn_x = RandomPositions(RANGE)(training(grid, 4000))
    kept = (y_BN == layout_y).all(dim=1)
    assert 0.46 < float(kept.float().mean()) < 0.54
    assert torch.equal(kept, (x_BN == layout_x).all(dim=1))  # both axes of an image together
    assert torch.equal(y_BN[~kept], drawn_y[~kept])
    assert torch.equal(x_BN[~kept], drawn_x[~kept])


def test_a_share_of_zero_is_random_positions_and_inference_is_theirs() -> None:
    grid = Grid(8, 8)
    for share, expected in (
        (0.0, RandomPositions(RANGE)(training(grid))),
        (1.0, RandomPositions(RANGE)(Context(grid, grid))),
    ):
        found = AnchoredPositions(RANGE, share)(training(grid))
        assert all(torch.equal(a, b.expand_as(a)) for a, b in zip(found, expected, strict=True))
    larger = Context(Grid(16, 16), grid)
    assert all(
        torch.equal(a, b)
        for a, b in zip(AnchoredPositions((24, 24))(larger), RandomPositions((24, 24))(larger), strict=True)
    )
