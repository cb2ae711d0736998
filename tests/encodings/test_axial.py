"""The axial encodings: order of tokens and channels, relativity, the base, the reference of s, and both consumers."""

import pytest
import torch

from rpe2d_bench.encodings import AxialRoPE, AxialSinCos, Context, Grid, build, rotate
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.errors import UserError

CTX = Context(Grid(2, 3), Grid(2, 3))


def test_tokens_are_row_major_and_channels_height_first() -> None:
    """Written out by hand: token 4 of a 2x3 grid is row 1, column 1."""
    angles = AxialRoPE(8, theta=100)(CTX).angles_BHNF
    assert angles.shape == (1, 1, 6, 4)
    rows, columns = [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]
    expected = [[r, r / 10, c, c / 10] for r, c in zip(rows, columns, strict=True)]
    torch.testing.assert_close(angles[0, 0], torch.tensor(expected))


def test_sincos_is_sine_then_cosine_of_height_then_width() -> None:
    added = AxialSinCos(8, theta=100)(CTX).additive_BND
    h, w = torch.tensor([1.0, 0.1]), torch.tensor([2.0, 0.2])  # token 5: row 1, column 2
    torch.testing.assert_close(added[0, 5], torch.cat((h.sin(), h.cos(), w.sin(), w.cos())))


def test_rotation_is_a_complex_product_and_keeps_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 6, 8, generator=generator)
    angles = torch.randn(2, 1, 6, 4, generator=generator)
    turned = rotate(q, angles)
    product = torch.complex(q[..., :4], q[..., 4:]) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.cat((product.real, product.imag), dim=-1))
    torch.testing.assert_close(turned.norm(dim=-1), q.norm(dim=-1))
    assert rotate(q.bfloat16(), angles).dtype == torch.bfloat16


def test_every_sample_gets_its_own_angles_when_positions_are_drawn() -> None:
    encoding = AxialRoPE(8, positions=RandomPositions(max_grid=(16, 16)))
    angles = encoding(Context(Grid(4, 6), Grid(4, 6), rng=torch.Generator().manual_seed(0), batch=5)).angles_BHNF
    assert angles.shape == (5, 1, 24, 4)
    y, x = encoding.positions(Context(Grid(4, 6), Grid(4, 6), rng=torch.Generator().manual_seed(0), batch=5))
    by_token = angles.unflatten(2, (4, 6))[:, 0, ..., :]
    torch.testing.assert_close(by_token[:, :, 0, 0], y)  # frequency 1 of the height
    torch.testing.assert_close(by_token[:, 0, :, 2], x)


def test_random_positions_serve_sincos_too() -> None:
    spec = {"kind": "axial_sincos", "positions": {"kind": "random", "max_grid": [16, 16]}}
    encoding = build(spec, width=24, heads=3)
    rng = torch.Generator().manual_seed(0)
    assert encoding(Context(Grid(8, 8), Grid(8, 8), rng=rng, batch=2)).additive_BND.shape == (2, 64, 24)


def test_interpolated_frequencies_equal_fractional_positions_above_the_train_grid() -> None:
    ctx = Context(Grid(24, 20), Grid(8, 16))
    by_frequency, by_position = (
        build({"kind": "axial_rope", **part}, width=32, heads=1)(ctx).angles_BHNF
        for part in ({"frequencies": {"kind": "interpolated"}}, {"positions": {"kind": "fractional"}})
    )
    torch.testing.assert_close(by_frequency, by_position)


def test_the_reference_of_the_scale_is_the_train_grid_or_the_named_range() -> None:
    """RPE-2D x NTK: with the random range as reference, a grid inside it is not corrected a second time."""
    spec = {
        "kind": "axial_rope",
        "positions": {"kind": "random", "max_grid": [32, 32]},
        "frequencies": {"kind": "ntk"},
        "logit_scale": {"kind": "yarn"},
    }
    plain = {**spec, "frequencies": {"kind": "geometric"}, "logit_scale": {"kind": "constant"}}
    ctx = Context(Grid(16, 16), Grid(8, 8))
    base, by_train, by_range = (
        build(s, width=32, heads=1)(ctx) for s in (plain, spec, {**spec, "scale_reference": [32, 32]})
    )
    assert not torch.allclose(by_train.angles_BHNF, base.angles_BHNF)
    assert by_train.logit_scale == pytest.approx(1.1434, abs=1e-4)
    assert torch.equal(by_range.angles_BHNF, base.angles_BHNF)
    assert by_range.logit_scale == 1


def test_theta_reaches_the_rule_and_a_rule_without_it_is_refused() -> None:
    assert AxialRoPE(16, theta=100).frequencies.theta == 100

    class NoBase:
        def __call__(self, ctx: Context, axis: int, F: int) -> torch.Tensor:
            return torch.ones(1, F)

    with pytest.raises(UserError, match="NoBase has no option theta"):
        AxialRoPE(16, frequencies=NoBase(), theta=100)


@pytest.mark.parametrize(("cls", "width"), [(AxialRoPE, 6), (AxialRoPE, 0), (AxialSinCos, 10)])
def test_widths_that_cannot_be_split_are_refused(cls: type, width: int) -> None:
    with pytest.raises(UserError, match="multiple of 4"):
        cls(width)
