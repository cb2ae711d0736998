"""Random positions against combinatorics: what a draw is, what inference uses, and what is refused."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench.encodings import Context, Grid, build
from rpe2d_bench.encodings.conformance.positions import chi_square_tail
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.errors import UserError

DRAWS = ["integer", "real", "stratified", "stride_jitter"]


def drawn(rule: RandomPositions, grid: Grid, batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return rule(Context(grid, grid, rng=torch.Generator().manual_seed(seed), batch=batch))


def test_every_subset_is_equally_likely() -> None:
    """All 20 ways to take 3 of 6 positions, by chi-square."""
    y, _ = drawn(RandomPositions(max_grid=(6, 6)), Grid(3, 3), 20_000)
    subsets = dict.fromkeys(combinations(range(6), 3), 0)
    for row in y.int().tolist():
        subsets[tuple(row)] += 1
    expected = 20_000 / len(subsets)
    chi = sum((count - expected) ** 2 / expected for count in subsets.values())
    assert chi_square_tail(chi, len(subsets) - 1) > 1e-4


@given(st.integers(1, 6), st.integers(1, 9))
def test_mean_layout_is_the_exact_mean_over_all_subsets(n: int, m: int) -> None:
    if n > m:
        return
    every = torch.tensor(list(combinations(range(m), n)), dtype=torch.float64)
    y, _ = RandomPositions(max_grid=(m, m), inference="mean")(Context(Grid(n, n), Grid(n, n)))
    torch.testing.assert_close(y[0].double(), every.mean(dim=0), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("n", "m"), [(8, 16), (5, 5), (1, 4), (16, 17)])
def test_mean_layout_is_the_mean_of_the_draws(draw: str, n: int, m: int) -> None:
    rule = RandomPositions(max_grid=(m, m), draw=draw)  # type: ignore[arg-type]
    y, _ = drawn(rule, Grid(n, n), 20_000)
    used, _ = rule(Context(Grid(n, n), Grid(n, n)))
    error = (m - 1) / 20_000**0.5 * 2 + 1e-5  # twice the largest standard error of values in [0, m - 1]
    assert float((y.mean(dim=0) - used[0]).abs().max()) < error


@settings(max_examples=40)
@given(st.sampled_from(DRAWS), st.integers(1, 24), st.integers(0, 24), st.integers(1, 24), st.integers(0, 24))
def test_draws_increase_within_the_range(draw: str, h: int, more_h: int, w: int, more_w: int) -> None:
    rule = RandomPositions(max_grid=(h + more_h, w + more_w), draw=draw)  # type: ignore[arg-type]
    for p, m in zip(drawn(rule, Grid(h, w), 64), rule.max_grid, strict=True):
        assert bool((p.diff(dim=1) > 0).all())
        assert 0 <= float(p.min()) <= float(p.max()) <= m - 1


def test_integer_draws_are_integers_and_real_ones_are_not() -> None:
    for draw, whole in (("integer", True), ("real", False), ("stratified", False), ("stride_jitter", False)):
        y, _ = drawn(RandomPositions(max_grid=(16, 16), draw=draw), Grid(8, 8), 4)  # type: ignore[arg-type]
        assert bool((y == y.round()).all()) is whole


def test_stratified_draws_put_one_position_in_each_equal_part() -> None:
    y, _ = drawn(RandomPositions(max_grid=(17, 17), draw="stratified"), Grid(8, 8), 1000)
    assert torch.equal((y / 2).floor(), torch.arange(8.0).expand(1000, 8))  # 16 long, 8 parts of 2


def test_stride_jitter_has_strides_from_one_to_what_fits() -> None:
    y, _ = drawn(RandomPositions(max_grid=(33, 33), draw="stride_jitter", jitter=0.0), Grid(9, 9), 5000)
    strides = y.diff(dim=1)
    torch.testing.assert_close(strides, strides[:, :1].expand_as(strides), atol=1e-5, rtol=0)
    assert 1 <= float(strides.min()) < 1.05
    assert 3.95 < float(strides.max()) <= 4 + 1e-5


def test_one_draw_per_sample_or_for_the_batch_and_tied_axes() -> None:
    per_sample, per_batch = (RandomPositions(max_grid=(16, 16), per=per) for per in ("sample", "batch"))  # type: ignore[arg-type]
    y, x = drawn(per_sample, Grid(8, 8), 6)
    assert y.shape == (6, 8)
    assert len(y.unique(dim=0)) > 1
    assert not torch.equal(y, x)
    assert drawn(per_batch, Grid(8, 8), 6)[0].shape == (1, 8)
    y, x = drawn(RandomPositions(max_grid=(16, 16), tied=True), Grid(8, 8), 6)
    assert torch.equal(y, x)


def test_inference_layouts() -> None:
    layouts = {
        name: RandomPositions(max_grid=(9, 9), inference=name)(Context(Grid(5, 1), Grid(5, 1)))  # type: ignore[arg-type]
        for name in ("even", "mean", "centred", "contiguous")
    }
    assert layouts["even"][0].tolist() == [[0, 2, 4, 6, 8]]
    assert layouts["centred"][0].tolist() == [[2, 3, 4, 5, 6]]
    assert layouts["contiguous"][0].tolist() == [[0, 1, 2, 3, 4]]
    torch.testing.assert_close(layouts["mean"][0], torch.tensor([[2 / 3, 7 / 3, 4, 17 / 3, 22 / 3]]))
    assert [float(layouts[name][1]) for name in ("even", "mean", "centred")] == [4, 4, 4]


def test_random_inference_repeats_by_seed_whatever_the_global_state() -> None:
    ctx = Context(Grid(5, 5), Grid(5, 5), batch=3)
    torch.manual_seed(0)
    first = RandomPositions(max_grid=(32, 32), inference="random", seed=7)(ctx)
    torch.manual_seed(1)
    again = RandomPositions(max_grid=(32, 32), inference="random", seed=7)(ctx)
    other = RandomPositions(max_grid=(32, 32), inference="random", seed=8)(ctx)
    assert torch.equal(first[0], again[0])
    assert first[0].shape == (1, 5)
    assert not torch.equal(first[0], other[0])


def test_a_full_range_leaves_one_draw_and_every_row_to_inference() -> None:
    y, _ = drawn(RandomPositions(max_grid=(8, 8)), Grid(8, 8), 3)
    assert torch.equal(y, torch.arange(8.0).expand(3, 8))


def test_a_grid_that_does_not_fit_names_the_fix() -> None:
    encoding = build({"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [16, 12]}}, width=64, heads=2)
    with pytest.raises(UserError, match=r"max_grid 16x12 is smaller than the grid of 20x8 tokens.*\[20, 12\] or more"):
        encoding(Context(Grid(20, 8), Grid(8, 8)))


@pytest.mark.parametrize("options", [{"max_grid": (0, 4)}, {"max_grid": (4, 4), "jitter": 1.0}])
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(UserError, match="positions random"):
        RandomPositions(**options)
