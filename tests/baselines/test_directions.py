"""Directions, partial rotation, resonance and bundles against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, POSITIONS, Context, Encoding, Grid, build
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.attention import attend, rotation_of

TRAIN = Grid(8, 8)


def angles(spec: dict, grid: Grid, heads: int = 3, head_width: int = 32, train: Grid = TRAIN) -> Tensor:
    return build(spec, width=heads * head_width, heads=heads)(Context(grid, train)).angles_BHNF


@pytest.mark.parametrize("rotated", [0.0, 0.25, 0.5, 1.0])
def test_partial_rotation_cuts_the_slow_channels(rotated: float) -> None:
    grid = Grid(5, 7)
    whole_YXF = angles({"kind": "axial_rope"}, grid)[0, 0]
    part_YXF = angles({"kind": "partial_rope", "rotated": rotated}, grid)[0, 0]
    turning = round(8 * rotated)
    for whole, part in zip(whole_YXF.chunk(2, dim=-1), part_YXF.chunk(2, dim=-1), strict=True):
        assert torch.equal(part[:, :turning], whole[:, :turning])
        assert not bool(part[:, turning:].any())


def test_a_squeezed_spectrum_keeps_its_slowest_channel() -> None:
    spec = {"kind": "partial_rope", "rotated": 0.5, "spectrum": "squeezed", "theta": 100}
    found = angles(spec, Grid(2, 1))[0, 0, 1]  # the second row: angle = frequency
    assert found[:4].tolist() == pytest.approx([100 ** (-i / 4) for i in range(4)])
    assert not bool(found[4:].any())


def test_rules_of_frequencies_apply_to_what_turns() -> None:
    spec = {"kind": "partial_rope", "frequencies": {"kind": "interpolated"}}
    torch.testing.assert_close(angles(spec, Grid(16, 16)), angles({"kind": "partial_rope"}, Grid(16, 16)) / 2)


def test_two_directions_are_axial() -> None:
    torch.testing.assert_close(
        angles({"kind": "spiral", "directions": 2}, Grid(3, 5)), angles({"kind": "axial_rope"}, Grid(3, 5))
    )


@pytest.mark.parametrize("spectrum", ["dealt", "shared"])
def test_spiral_directions_keep_lengths_and_share_what_is_perpendicular(spectrum: str) -> None:
    spec = {"kind": "spiral", "directions": 4, "spectrum": spectrum}
    down, right = (angles(spec, Grid(2, 2))[0, 0, token] for token in (2, 1))  # one token down, one to the right
    magnitude = (down.square() + right.square()).sqrt()
    count = 4 if spectrum == "shared" else 8
    expected = [10_000 ** (-i / count) for i in range(count)]
    if spectrum == "shared":
        expected = [*expected[:2], *expected[:2], *expected[2:], *expected[2:]]
    assert magnitude[:8].tolist() == pytest.approx(expected)
    assert torch.equal(magnitude[:8], magnitude[8:])
    direction = torch.atan2(right, down)[:8] / math.pi * 4
    assert direction.tolist() == pytest.approx([0, 0, 1, 1, 0, 0, 1, 1], abs=1e-5)
    with pytest.raises(UserError, match="a multiple of 16, got 24"):
        angles(spec, Grid(2, 2), head_width=24)


def test_golden_gate_turns_by_the_golden_ratio_from_channel_to_channel_and_head_to_head() -> None:
    found = angles({"kind": "golden_gate"}, Grid(3, 3), heads=2, head_width=8)[0]
    down, right = found[:, 7] - found[:, 4], found[:, 5] - found[:, 4]  # from the centre, half a side
    magnitude = [0.2 * 100 ** (i / 3) for i in range(4)]
    assert (down.square() + right.square()).sqrt().flatten().tolist() == pytest.approx(magnitude * 2, rel=1e-4)
    steps = torch.atan2(down, right).flatten().diff() % math.pi
    assert steps.tolist() == pytest.approx([math.pi / ((1 + math.sqrt(5)) / 2)] * 7, rel=1e-3)


def test_golden_gate_spreads_over_every_grid_unless_its_span_is_the_train_grid() -> None:
    small, large = angles({"kind": "golden_gate"}, Grid(8, 8)), angles({"kind": "golden_gate"}, Grid(15, 15))
    assert torch.allclose(small[:, :, [0, 7, 63]], large[:, :, [0, 14, 224]], atol=1e-5)
    spec = {"kind": "golden_gate", "span": "train_grid", "positions": {"kind": "grid"}}
    assert torch.allclose(angles(spec, Grid(8, 8))[:, :, :8], angles(spec, Grid(15, 15))[:, :, :8], atol=1e-5)


@pytest.mark.parametrize(("published", "factor"), [("2026", 1.178), ("2025", 0.849)])
def test_the_two_resonances_move_the_fastest_channel_in_opposite_directions(published: str, factor: float) -> None:
    rule = FREQUENCIES["resonance"](published=published)
    beyond, on = (rule(Context(Grid(n, n), Grid(16, 16)), 0, 28)[0] for n in (17, 16))
    assert float(on[0]) == 1
    assert float(beyond[0]) == pytest.approx(factor, abs=6e-4)
    assert torch.equal(on, FREQUENCIES["geometric"]()(Context(Grid(16, 16), Grid(16, 16)), 0, 28)[0])


def test_whole_turns_over_the_train_grid() -> None:
    rule = FREQUENCIES["resonance"](theta=100.0)
    turns = 64 / (2 * math.pi) * rule(Context(Grid(65, 65), Grid(64, 64)), 0, 16)[0]
    assert turns[:3].tolist() == pytest.approx([10, 8, 6], abs=1e-2)  # by parts: the second and third give up a little


def test_bundles_are_the_published_map() -> None:
    """b = ceil(127 / 79) = 2 for 128 tokens where 64 were trained; a = 1 and 2."""
    rule = POSITIONS["bundled"]()
    layouts = rule.bundles(Context(Grid(128, 64), Grid(64, 64)))
    assert len(layouts) == 2  # b_y + b_x - 1
    assert layouts[0][0][0, :6].tolist() == [0, 0, 1, 1, 2, 2]
    assert layouts[1][0][0, :6].tolist() == [0, 1, 1, 2, 2, 3]
    assert all(torch.equal(x, torch.arange(64.0)[None]) for _, x in layouts)
    assert len(rule.bundles(Context(Grid(80, 80), Grid(64, 64)))) == 1
    assert len(rule.bundles(Context(Grid(256, 256), Grid(64, 64)))) == 7


def test_outputs_of_attention_are_averaged() -> None:
    spec = {"kind": "axial_rope", "positions": {"kind": "bundled"}}
    now = build(spec, width=48, heads=3)(Context(Grid(16, 16), TRAIN))
    assert len(now.averaged_angles) == 2
    qkv = torch.randn(2, 256, 3 * 48)

    def out(encoding: Encoding) -> Tensor:
        return attend(qkv, 3, rotation_of(encoding, 3, 16, qkv))

    alone = [out(Encoding(angles_BHNF=a)) for a in (now.angles_BHNF, *now.averaged_angles)]
    torch.testing.assert_close(out(now), torch.stack(alone).mean(dim=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [{"kind": "axial_sincos"}, {"kind": "axial_rope", "bias": {"kind": "alibi"}}])
def test_what_cannot_be_averaged_refuses_bundles(spec: dict) -> None:
    with pytest.raises(UserError, match="use axial_rope without a bias"):
        build({**spec, "positions": {"kind": "bundled"}}, width=48, heads=3)


def test_what_does_not_turn_is_not_described() -> None:
    from rpe2d_bench.encodings.describe import describe
    from rpe2d_bench.encodings.spec import EncodingSpec

    for options in ({}, {"spectrum": "squeezed"}):
        partial = EncodingSpec.parse({"kind": "partial_rope", "theta": 100, **options})
        found = describe(partial, Grid(12, 12), TRAIN, head_width=16)
        channels = [c for c in found.channels if c.axis == "height"]
        assert [c.frequency for c in channels] == pytest.approx([1, 100 ** (-1 / (2 if options else 4))])
        assert [c.kept for c in channels] == [1, 1]
