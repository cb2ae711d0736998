"""The transformer: sizes as published, patches, grids, and agreement with the plain version."""

from __future__ import annotations

import pytest
import torch
from helpers.plain_dit import plain_forward
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rpe2d_bench.encodings import Context, Encoding, Grid, build
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import DiT, flops_per_forward, preset
from rpe2d_bench.models.dit import DiTOptions, patchify, unpatchify


def trained(options: DiTOptions, *, channels: int = 1, dtype: torch.dtype = torch.float64, **kwargs: bool) -> DiT:
    """A transformer whose gates and output are not zero."""
    torch.manual_seed(0)
    dit = DiT(options, channels=channels, num_classes=10, **kwargs).to(dtype)
    for weight in dit.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return dit


def inputs(batch: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(batch, channels, height, width, generator=rng, dtype=torch.float64)
    return x, torch.rand(batch, generator=rng, dtype=torch.float64), torch.arange(batch) % 10


@pytest.mark.parametrize(("name", "millions"), [("DiT-S/2", 33), ("DiT-B/2", 130), ("DiT-L/2", 458), ("DiT-XL/2", 675)])
def test_published_parameter_counts(name: str, millions: int) -> None:
    options = preset(name)
    with torch.device("meta"):
        dit = DiT(options, channels=4, num_classes=1000)
    count = sum(p.numel() for p in dit.parameters())
    # The published model also predicts a variance (four more channels) and counts its table of 256 fixed positions
    count += 4 * options.patch_size**2 * (options.width + 1) + 256 * options.width
    assert count / 1e6 == pytest.approx(millions, abs=0.6)


def test_the_largest_published_size_to_the_last_parameter() -> None:
    with torch.device("meta"):
        dit = DiT(preset("DiT-XL/2"), channels=4, num_classes=1000)
    ours = sum(p.numel() for p in dit.parameters())
    assert ours + 16 * 1153 + 256 * 1152 == 675_129_632  # facebookresearch/DiT, DiT-XL/2 at 256 px


def test_fitv2_has_its_published_number_of_parameters() -> None:
    with torch.device("meta"):
        dit = DiT(preset("FiTv2-XL/2"), channels=4, num_classes=1000)
    assert round(sum(p.numel() for p in dit.parameters()) / 1e6) == 671  # whlzy/FiT, README


@pytest.mark.parametrize(
    ("name", "gflops"),
    [("DiT-S/2", 6.06), ("DiT-B/2", 23.01), ("DiT-XL/2", 118.64), ("FiTv2-XL/2", 147), ("FiTv2-3B/2", 653)],
)
def test_published_flops_are_multiply_adds(name: str, gflops: float) -> None:
    # arXiv 2212.09748, table 4, and FiT's README: a multiply-add counts once; besides our matrix products, little else
    assert flops_per_forward(preset(name), tokens=256, channels=4) / 2e9 == pytest.approx(gflops, rel=0.08)


@pytest.mark.parametrize("name", ["DiT-Medium/2", "DiT-B", "DiT-B/x", "DiT-B/0"])
def test_unknown_presets_say_what_to_write(name: str) -> None:
    with pytest.raises(UserError, match="DiT-"):
        preset(name)


def test_presets_take_changes() -> None:
    assert preset("DiT-B/2", heads=6).heads == 6
    assert preset("DiT-B/2").gelu == "tanh"
    assert preset("DiT-Mini/4").gelu == "none"


def test_a_head_that_cannot_be_rotated_on_two_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        DiT(DiTOptions(width=36, depth=1, heads=6, patch_size=2), channels=1, num_classes=2)


@given(
    batch=st.integers(1, 3), channels=st.sampled_from([1, 3, 4]), rows=st.integers(1, 5), columns=st.integers(1, 5),
    patch=st.sampled_from([1, 2, 4]),
)  # fmt: skip
@settings(max_examples=40)
def test_unpatchify_inverts_patchify(batch: int, channels: int, rows: int, columns: int, patch: int) -> None:
    x = torch.arange(batch * channels * rows * columns * patch**2, dtype=torch.float32)
    x = x.view(batch, channels, rows * patch, columns * patch)
    tokens = patchify(x, patch)
    assert tokens.shape == (batch, rows * columns, channels * patch**2)
    assert torch.equal(unpatchify(tokens, Grid(rows, columns), patch), x)


def test_tokens_run_along_the_width_first() -> None:
    x = torch.zeros(1, 1, 4, 6)
    x[0, 0, 1, 4] = 1.0  # first row of patches, third column
    assert patchify(x, 2)[0].amax(dim=1).tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "axial_rope"},
        {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [16, 16]}},
        {"kind": "axial_rope", "logit_scale": {"kind": "yarn"}},
        {"kind": "axial_sincos"},
        {"kind": "none"},
    ],
    ids=["rope", "random", "scaled", "sincos", "none"],
)
@pytest.mark.parametrize("grid", [Grid(4, 4), Grid(3, 5)], ids=str)
def test_agrees_with_the_plain_version(spec: dict[str, object], grid: Grid) -> None:
    dit = trained(preset("DiT-Nano/4", depth=2), channels=3)
    x, t, labels = inputs(3, 3, 4 * grid.height, 4 * grid.width)
    rng = torch.Generator().manual_seed(3) if "positions" in spec else None
    encoding = build(spec, width=64, heads=2)(Context(grid, Grid(3, 3), t, rng, 3))
    fast, plain = dit(x, t, labels, encoding), plain_forward(dit, x, t, labels, encoding)
    # cosines and sines are taken in float32
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    weights = list(dit.parameters())
    gradients = [torch.autograd.grad(out.square().mean(), weights, allow_unused=True) for out in (fast, plain)]
    for one, other in zip(*gradients, strict=True):
        if one is not None:
            assert (one - other).norm() <= 1e-5 * other.norm()


@pytest.mark.parametrize("kind", ["axial_rope", "axial_sincos", "none"])
def test_bfloat16_on_a_cpu_never_meets_the_slow_kernel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("torch's fused attention was called")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    dit = trained(preset("DiT-Nano/4", depth=1), dtype=torch.float32)
    x, t, labels = (part.float() if part.is_floating_point() else part for part in inputs(2, 1, 16, 16))
    encoding = build({"kind": kind}, width=64, heads=2)(Context(Grid(4, 4), Grid(4, 4), t))
    with torch.autocast("cpu", torch.bfloat16):
        assert dit(x, t, labels, encoding).dtype == torch.bfloat16


def test_a_transposed_image_gives_the_transposed_velocity() -> None:
    # With one pixel per patch, swapping the axes of image and encoding only permutes the tokens
    dit = trained(preset("DiT-Nano/1", depth=2), channels=3)
    x, t, labels = inputs(2, 3, 3, 5)
    angles = torch.randn(1, 1, 15, 16, dtype=torch.float64)
    flipped = angles.unflatten(2, (3, 5)).transpose(2, 3).flatten(2, 3)
    out = dit(x, t, labels, Encoding(angles_BHNF=angles))
    back = dit(x.transpose(2, 3), t, labels, Encoding(angles_BHNF=flipped)).transpose(2, 3)
    torch.testing.assert_close(out, back, rtol=1e-9, atol=1e-9)


def test_without_an_encoding_tokens_have_no_place() -> None:
    dit = trained(preset("DiT-Nano/1", depth=2))
    x, t, labels = inputs(2, 1, 4, 4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    shuffled = x.flatten(2)[..., order].view_as(x)
    out = dit(x, t, labels, Encoding()).flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(dit(shuffled, t, labels, Encoding()), out, rtol=1e-9, atol=1e-9)


def test_a_fresh_transformer_predicts_zero_and_has_finite_gradients() -> None:
    torch.manual_seed(0)
    dit = DiT(preset("DiT-Nano/4"), channels=1, num_classes=10)
    x, t, labels = (part.float() if part.is_floating_point() else part for part in inputs(4, 1, 16, 24))
    out = dit(x, t, labels, Encoding())
    assert torch.equal(out, torch.zeros_like(x))
    (out - x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in dit.parameters() if p.grad is not None)


def test_the_crop_is_seen_only_where_it_was_asked_for() -> None:
    x, t, labels = inputs(2, 1, 16, 16)
    crop = torch.tensor([[0.5, 0.1, -0.2]], dtype=torch.float64)
    for micro_conditioning in (False, True):
        dit = trained(preset("DiT-Nano/4", depth=1), micro_conditioning=micro_conditioning)
        complete = dit(x, t, labels, Encoding())
        assert torch.equal(complete, dit(x, t, labels, Encoding(), torch.zeros(1, 3, dtype=torch.float64)))
        assert torch.equal(complete, dit(x, t, labels, Encoding(), crop)) is not micro_conditioning


def test_time_and_class_matter() -> None:
    dit = trained(preset("DiT-Nano/4", depth=1))
    x, t, labels = inputs(2, 1, 16, 16)
    out = dit(x, t, labels, Encoding())
    assert not torch.allclose(out, dit(x, 1 - t, labels, Encoding()))
    assert not torch.allclose(out, dit(x, t, torch.full_like(labels, dit.no_class), Encoding()))


def test_the_dilated_stem_keeps_the_shape_and_follows_its_dilation() -> None:
    dit = trained(preset("DiT-Nano/4", depth=1, stem="dilated_conv"))
    x, t, labels = inputs(2, 1, 16, 24)
    out = dit(x, t, labels, Encoding())
    assert out.shape == x.shape
    assert not torch.allclose(out, dit(x, t, labels, Encoding(), dilation=2))
