"""The learned table and the absence of any encoding."""

import torch
from torch.nn import functional

from rpe2d_bench.encodings import Context, Grid, build


def test_the_table_itself_at_its_grid_and_bicubic_elsewhere() -> None:
    encoding = build({"kind": "learned", "grid": [2, 3]}, width=8, heads=2)
    at_home = encoding(Context(Grid(2, 3), Grid(2, 3))).additive_BND
    assert torch.equal(at_home[0, 4], encoding.table_BDYX[0, :, 1, 1])  # token 4: row 1, column 1
    larger = encoding(Context(Grid(4, 5), Grid(2, 3))).additive_BND
    expected = functional.interpolate(encoding.table_BDYX, size=(4, 5), mode="bicubic")
    torch.testing.assert_close(larger.mT.unflatten(2, (4, 5)), expected)


def test_gradients_reach_the_table_through_a_resize() -> None:
    encoding = build({"kind": "learned", "grid": [4, 4]}, width=8, heads=2)
    encoding(Context(Grid(8, 8), Grid(4, 4))).additive_BND.square().sum().backward()
    assert bool((encoding.table_BDYX.grad != 0).any())


def test_none_leaves_only_the_logit_scale() -> None:
    encoding = build({"kind": "none", "logit_scale": {"kind": "proportional_sqrt"}}, width=8, heads=2)
    result = encoding(Context(Grid(8, 8), Grid(4, 4)))
    assert result.additive_BND is None
    assert result.angles_BHNF is None
    assert result.logit_scale == 1.5**0.5  # log_16 64
