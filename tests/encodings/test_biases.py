"""Biases: the published formulas, positions and not indices, and what makes a bias a part of an encoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import LOGIT_BIASES, Context, Grid, PairBias, build, realised_digest
from rpe2d_bench.encodings.bias import placed
from rpe2d_bench.encodings.conformance.suite import check
from rpe2d_bench.encodings.describe import as_text, describe
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.errors import UserError
from rpe2d_bench.training.loop import rows_of

RANDOM = {"kind": "random", "max_grid": [16, 16]}
TS = (1.0, 0.5)
GRID = Grid(5, 6)


def laid(name: str, grid: Grid, heads: int, **options: object) -> Tensor:
    pair = LOGIT_BIASES[name](**options).build(heads)
    bias = placed(pair, torch.arange(float(grid.height))[None], torch.arange(float(grid.width))[None], heads)
    return bias.dense()[0].detach()[0]


def test_alibi_is_minus_slope_times_distance() -> None:
    found = laid("alibi", Grid(4, 5), 4)
    slopes = [2**-2, 2**-4, 2**-6, 2**-8]
    for head, slope in enumerate(slopes):
        assert float(found[head, 0, 3 * 5 + 4]) == pytest.approx(-slope * 5)  # 3 down, 4 across
    assert float(laid("alibi", Grid(4, 5), 4, norm="l1")[0, 0, 19]) == pytest.approx(-slopes[0] * 7)
    twelve = -laid("alibi", Grid(1, 2), 12)[:, 0, 1]
    assert twelve.tolist() == pytest.approx([2**-k for k in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5])
    even = -laid("alibi", Grid(1, 2), 12, slopes="even")[:, 0, 1]
    assert even.tolist() == pytest.approx([2 ** (-8 * k / 12) for k in range(1, 13)])


@pytest.mark.parametrize(("view", "seen"), [(180, 28), (90, 16), (45, 10)])
def test_lookhere_looks_one_way_and_sees_its_boundaries(view: int, seen: int) -> None:
    found = laid("lookhere", Grid(7, 7), 12, view=view)[:, 24].unflatten(1, (7, 7))  # the centre's row
    up = found[0].isfinite()
    assert bool(up[3, 3])
    assert int(up.sum()) == seen
    assert not bool(up[4:].any())  # nothing below: up, up and left, the left half of the quarter above
    assert bool(found[8:].isfinite().all())  # the last third sees everything
    assert found[8:, 3, 4].tolist() == pytest.approx([-2 / 4, -2 / 16, -2 / 64, -2 / 256])


def test_scale_invariance_is_its_two_formulas() -> None:
    pair = LOGIT_BIASES["scale_invariant"](tau=10.0, axes=1).build(2)
    dy, dx, head = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 4.0]), torch.tensor(0)
    squared = 2 * math.log(5 / 10 + 1) + 1
    assert pair.factor(dy, dx, head).tolist() == pytest.approx([1, math.sqrt(squared)])
    assert pair.addition(dy, dx, head).tolist() == pytest.approx([0, 1 - squared])


def test_weights_fall_with_the_square_of_the_distance_on_a_plane() -> None:
    """E exp(a S + m) of a standard normal S is exp(m + a^2 / 2), which is (r / tau + 1)^-2 up to a constant."""
    pair = LOGIT_BIASES["scale_invariant"]().build(1)
    r = torch.tensor([0.0, 5.0, 50.0])
    expected = (pair.addition(r, 0 * r, torch.tensor(0)) + pair.factor(r, 0 * r, torch.tensor(0)).square() / 2).exp()
    assert (expected / expected[0]).tolist() == pytest.approx(((r / 10 + 1) ** -2).tolist())


def test_a_relative_table_is_the_net_at_log_spaced_displacements() -> None:
    pair = LOGIT_BIASES["relative_table"](grid=(8, 8), hidden=16).build(3)
    found = laid_pair(pair, Grid(12, 5))
    d = torch.tensor([11.0, -4.0]) / 7 * 8  # 11 rows up from the last row to the first, 4 columns to the right
    coordinates = d.sign() * (1 + d.abs()).log2() / 3
    torch.testing.assert_close(found[:, 11 * 5, 4], 16 * pair.net(coordinates).sigmoid().detach())
    assert float(coordinates[0]) == pytest.approx(1.254, abs=1e-3)  # 12 rows reach 1.254 where 8 end at 1.057


def laid_pair(pair: PairBias, grid: Grid) -> Tensor:
    y, x = torch.arange(float(grid.height))[None], torch.arange(float(grid.width))[None]
    return placed(pair, y, x, 3).dense()[0].detach()[0]


def test_buckets_are_single_near_and_shared_far() -> None:
    pair = LOGIT_BIASES["relative_buckets"](buckets=32, max_distance=128).build(1)
    assert pair.bucket(torch.tensor([0.0, 1.0, 7.0, 7.9, 127.0, 5000.0])).tolist() == [0, 1, 7, 7, 15, 15]
    assert pair.bucket(torch.tensor([-1.0, -5000.0])).tolist() == [17, 31]
    near, far = pair.bucket(torch.arange(8.0)), pair.bucket(torch.arange(8.0, 128.0))
    assert len(near.unique()) == 8
    assert far.unique().tolist() == list(range(8, 16))
    with pytest.raises(UserError, match="max_distance 8 must lie above the 8 distances"):
        LOGIT_BIASES["relative_buckets"](max_distance=8)


@pytest.mark.parametrize("name", ["alibi", "lookhere", "relative_buckets", "scale_invariant"])
def test_random_positions_feed_biases(name: str) -> None:
    """RPE-2D x ALiBi: in training every image has distances of its own, at inference those of the range."""
    encoding = build({"kind": "distance", "positions": RANDOM, "bias": {"kind": name}}, width=48, heads=3)
    rng = torch.Generator().manual_seed(0)
    bias = encoding(Context(Grid(8, 8), Grid(8, 8), rng=rng, batch=5)).bias
    assert bias.y_BN.shape == (5, 64)
    assert bias.dense()[0].shape == (5, 3, 64, 64)
    assert not torch.equal(bias.dense()[0][0], bias.dense()[0][1])
    at_rest = encoding(Context(Grid(8, 8), Grid(8, 8))).bias
    assert float(at_rest.y_BN.max()) == pytest.approx(8 * 17 / 9 - 1)  # mean order statistics, not 7


def test_a_bias_stands_beside_a_rotation() -> None:
    spec = {"kind": "axial_rope", "theta": 100, "bias": {"kind": "alibi"}}
    found = build(spec, width=48, heads=3)(Context(Grid(3, 4), Grid(8, 8)))
    assert found.angles_BHNF.shape == (1, 1, 12, 8)
    assert found.bias.dense()[0].shape == (1, 3, 12, 12)
    assert build({"kind": "axial_rope"}, width=48, heads=3)(Context(Grid(3, 4), Grid(8, 8))).bias is None


def test_addresses_of_before_stay() -> None:
    assert "bias" not in EncodingSpec.parse({"kind": "axial_rope"}).canonical
    assert (
        EncodingSpec.parse({"kind": "axial_rope"}).canonical
        == EncodingSpec.parse({"kind": "axial_rope", "bias": {"kind": "none"}}).canonical
    )
    assert EncodingSpec.parse({"kind": "axial_rope", "bias": {"kind": "alibi"}}).canonical["bias"]["slopes"] == "code"


def test_methods_coincide_only_where_their_biases_do() -> None:
    def digest(bias: dict, grid: Grid = GRID, heads: int = 4, positions: dict | None = None) -> str:
        spec = {"kind": "distance", "bias": bias, "positions": positions or {"kind": "grid"}}
        return realised_digest(build(spec, width=16 * heads, heads=heads), grid, Grid(8, 8), TS)

    alibi = {"kind": "alibi"}
    assert digest(alibi) == digest({**alibi, "slopes": "even"})  # 4 heads: a power of two
    assert digest(alibi, heads=3) != digest({**alibi, "slopes": "even"}, heads=3)
    assert digest(alibi) != digest({**alibi, "norm": "l1"})
    assert digest(alibi, Grid(1, 6)) == digest({**alibi, "norm": "l1"}, Grid(1, 6))
    uneven = {**RANDOM, "inference": "random"}
    assert digest(alibi, positions=uneven) == digest({**alibi, "slopes": "even"}, positions=uneven)
    assert digest({"kind": "lookhere"}) != digest({"kind": "lookhere", "first_layer": 1.0})


def test_a_part_of_a_batch_has_its_own_distances() -> None:
    encoding = build({"kind": "distance", "positions": RANDOM}, width=48, heads=3)
    whole = encoding(Context(Grid(4, 4), Grid(4, 4), rng=torch.Generator().manual_seed(0), batch=4))
    part = rows_of(whole, slice(2, 4), 4)
    assert torch.equal(part.bias.dense()[0], whole.bias.dense()[0][2:])


class Broken(PairBias):
    """ALiBi with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        if fault == "state":
            self.register_buffer("slope", torch.ones(()))

    def addition(self, dy_M: Tensor, dx_M: Tensor, head_M: Tensor) -> Tensor:
        if self.fault == "constant":
            return 0 * (dy_M + dx_M + head_M)
        distance = (dy_M.square() + dx_M.square()).sqrt() + 0 * head_M
        if self.fault == "hides itself":
            return torch.where(distance == 0, -torch.inf, -distance)
        if self.fault == "nan":
            return -distance / distance
        if self.fault == "double":
            return -distance.double()
        if self.fault == "cpu":
            return -distance * torch.ones(())  # as a constant made for every call would be
        if self.fault == "random":
            return -distance + 0 * torch.rand(())
        return -distance

    def dense(self, y_BN: Tensor, x_BN: Tensor, heads: int) -> tuple[Tensor, Tensor | None]:
        added, factor = super().dense(y_BN, x_BN, heads)
        if self.fault == "absolute":
            added = added - y_BN[:, None, None, :]
        if self.fault == "two numbers":
            added = 2 * added
        if self.fault == "short":
            added = added[..., 1:]
        return added, factor


@dataclass(frozen=True)
class Faulty:
    fault: str

    def build(self, heads: int) -> PairBias:
        return Broken(self.fault)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("constant", "the same for tokens one and three apart"),
        ("hides itself", "a token is hidden from itself"),
        ("nan", "NaN or infinite"),
        ("double", "torch.float64"),
        ("random", "global generator"),
        ("state", "state_dict holds ['slope']"),
        ("absolute", "positions from 0 and from 5 differ"),
        ("two numbers", "of pairs and of the whole differ"),
        ("short", "of shape (1, 1, 1, 0)"),
    ],
)
def test_defects_of_biases_are_found(fault: str, found: str) -> None:
    assert any(found in f.detail for f in check(Faulty, {"fault": fault}) if not f.passed)
    assert all(f.passed for f in check(Faulty, {"fault": ""}))


def test_show_says_what_a_bias_costs() -> None:
    lookhere = EncodingSpec.parse({"kind": "distance", "bias": {"kind": "lookhere"}})
    found = describe(lookhere, Grid(4, 5), Grid(4, 5), heads=3)
    assert found.costs["the next row"] == [None, pytest.approx(-1.5), pytest.approx(-0.75)]  # up, down, all; 1.5 x 2 x
    assert "the first token's logit of the next row, by head: hidden, -1.5, -0.75" in as_text(found)
    assert describe(EncodingSpec.parse({"kind": "axial_rope"}), Grid(4, 5), Grid(4, 5)).costs == {}
