"""Positions that are not drawn, against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench.encodings import POSITIONS, Context, Grid

sides = st.integers(1, 40)


def at(name: str, grid: Grid, train: Grid, crop: torch.Tensor | None = None, **options: object) -> list[torch.Tensor]:
    return list(POSITIONS[name](**options)(Context(grid=grid, train_grid=train, crop_B3=crop)))


def test_grid_counts_from_zero_on_both_axes() -> None:
    y, x = at("grid", Grid(2, 3), Grid(8, 8))
    assert y.tolist() == [[0, 1]]
    assert x.tolist() == [[0, 1, 2]]


@given(sides, sides)
def test_centred_positions_sum_to_zero_with_unit_gaps(h: int, w: int) -> None:
    for p, n in zip(at("centred", Grid(h, w), Grid(8, 8)), (h, w), strict=True):
        assert float(p.sum()) == 0
        assert bool((p.diff() == 1).all())
        assert p.shape == (1, n)


@given(sides, sides, sides)
def test_fractional_positions_stay_in_the_trained_range_at_any_size(h: int, w: int, L: int) -> None:
    for p, n in zip(at("fractional", Grid(h, w), Grid(L, L)), (h, w), strict=True):
        torch.testing.assert_close(p, torch.arange(n)[None] * (L / n))
        assert float(p.max()) < L


@given(st.integers(2, 40), st.integers(2, 40))
def test_fractional_ends_lie_on_the_trained_ends(n: int, L: int) -> None:
    y, _ = at("fractional", Grid(n, n), Grid(L, L), span="ends")
    torch.testing.assert_close(y[0, [0, -1]], torch.tensor([0.0, L - 1.0]))


def test_crop_coordinates_of_a_quarter_of_a_image() -> None:
    """The lower right quarter of an image twice as large starts where its tokens do on the large grid."""
    crop = torch.tensor([[1.0, 0.25, 0.25], [1.0, -0.25, 0.25], [0.0, 0.0, 0.0]])  # zoom 2; centre at 3/4 of each side
    y, x = at("crop_true", Grid(8, 4), Grid(8, 4), crop)
    torch.testing.assert_close(y[:, 0], torch.tensor([8.0, 0.0, 0.0]))
    torch.testing.assert_close(x[:, 0], torch.tensor([4.0, 4.0, 0.0]))
    assert bool((y.diff(dim=1) == 1).all())


def test_complete_images_have_plain_positions_with_and_without_a_crop() -> None:
    plain, cropped = at("grid", Grid(5, 6), Grid(5, 6)), at("crop_true", Grid(5, 6), Grid(5, 6))
    whole = at("crop_true", Grid(5, 6), Grid(5, 6), torch.zeros(1, 3))
    for a, b, c in zip(plain, cropped, whole, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c)


@pytest.mark.parametrize(("max_scale", "max_axis_scale"), [(1.4, 1.0), (1.0, 2.0), (2.0, 1.5)])
def test_shift_scale_jitter_draws_within_its_stated_bounds_and_reaches_them(
    max_scale: float, max_axis_scale: float
) -> None:
    L, B = 8, 20_000
    rule = POSITIONS["shift_scale_jitter"](
        max_shift=0.5, max_local=0, max_scale=max_scale, max_axis_scale=max_axis_scale
    )
    rng = torch.Generator().manual_seed(0)
    y, x = rule(Context(Grid(L, L), Grid(L, L), rng=rng, batch=B))
    gap_y, gap_x = y.diff(dim=1)[:, 0], x.diff(dim=1)[:, 0]  # without jitter the gap is the scale
    most = max_scale * max_axis_scale
    for gap in (gap_y, gap_x):
        assert 1 / most * 0.999 <= float(gap.min()) <= 1 / most * 1.1
        assert most * 0.9 <= float(gap.max()) <= most * 1.001
    shift = y.mean(dim=1) / gap_y  # (0 + shift) x scale
    assert -2.0 <= float(shift.min()) < -1.95  # half of a half-side of 4 tokens
    assert 1.95 < float(shift.max()) <= 2.0
    same = torch.isclose(gap_y, gap_x, atol=1e-5).float().mean()
    assert float(same) == 1 if max_axis_scale == 1 else float(same) < 0.1


def test_shift_scale_jitter_moves_tokens_by_at_most_half_its_local_share() -> None:
    rule = POSITIONS["shift_scale_jitter"](max_shift=0, max_local=0.8, max_scale=1)
    y, _ = rule(Context(Grid(8, 8), Grid(8, 8), rng=torch.Generator().manual_seed(0), batch=5000))
    off = y - (torch.arange(8) - 3.5)
    assert 0.39 < float(off.abs().max()) <= 0.4 + 1e-6
    assert abs(float(off.mean())) < 0.01
    assert float(off.var()) == pytest.approx(0.8**2 / 12, rel=0.05)  # uniform on an interval of 0.8
