"""Our rules inside a diffusers Flux transformer with random weights, and inside a plain attention layer."""

import math

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, AxialRoPE, Context, Grid, rotate
from rpe2d_bench.encodings.adapters import swap_rotary
from rpe2d_bench.errors import UserError


@pytest.fixture(scope="module")
def flux() -> torch.nn.Module:
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra: bench)")
    from rpe2d_bench.metrics.torchvision_import import import_torchvision

    import_torchvision()
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    ).eval()


def token_ids(grid: Grid, text: int = 3) -> tuple[Tensor, Tensor]:
    ids = torch.zeros(grid.height, grid.width, 3)
    ids[..., 1] += torch.arange(grid.height)[:, None]
    ids[..., 2] += torch.arange(grid.width)[None]
    return torch.zeros(text, 3), ids.flatten(0, 1)


def run(flux: torch.nn.Module, grid: Grid, t: float | list[float] = 0.5, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    text_ids, image_ids = token_ids(grid)
    with torch.no_grad():
        return flux(
            hidden_states=torch.randn(batch, grid.tokens, 4, generator=generator),
            encoder_hidden_states=torch.randn(batch, 3, 8, generator=generator),
            pooled_projections=torch.randn(batch, 8, generator=generator),
            timestep=torch.tensor([t] * batch if isinstance(t, float) else t),
            img_ids=image_ids,
            txt_ids=text_ids,
        ).sample


def test_the_default_rules_change_nothing(flux: torch.nn.Module) -> None:
    grid = Grid(4, 6)
    before = run(flux, grid)
    restore = swap_rotary(flux, Grid(4, 4))
    try:
        torch.testing.assert_close(run(flux, grid), before, atol=1e-5, rtol=1e-4)
        cos, sin = flux.pos_embed(torch.cat(token_ids(grid)))
    finally:
        restore()
    stock_cos, stock_sin = flux.pos_embed(torch.cat(token_ids(grid)))
    torch.testing.assert_close(cos, stock_cos, atol=1e-6, rtol=0)
    torch.testing.assert_close(sin, stock_sin, atol=1e-6, rtol=0)
    assert torch.equal(run(flux, grid), before)
    assert not flux._forward_pre_hooks


def test_rules_reach_the_picture_s_rows_and_columns_alone(flux: torch.nn.Module) -> None:
    """Head width 16 as (4, 4, 8): interpolated to half, row 3 turns by 1.5 in the fastest channel of the rows."""
    grid, train = Grid(8, 4), Grid(4, 4)
    restore = swap_rotary(flux, train, FREQUENCIES["interpolated"](), LOGIT_SCALES["yarn"]())
    try:
        cos, sin = flux.pos_embed(torch.cat(token_ids(grid)))
    finally:
        restore()
    token = 3 + 3 * grid.width + 2  # after three text tokens: row 3, column 2
    mscale = 0.1 * math.log(2) + 1
    assert float(cos[token, 4]) == pytest.approx(mscale * math.cos(1.5), abs=1e-5)
    assert float(sin[token, 5]) == pytest.approx(mscale * math.sin(1.5), abs=1e-5)
    assert float(cos[token, 8]) == pytest.approx(mscale * math.cos(2.0), abs=1e-5)  # columns: s = 1
    torch.testing.assert_close(cos[:, :4], torch.full_like(cos[:, :4], mscale))


def test_methods_change_larger_pictures_and_only_those(flux: torch.nn.Module) -> None:
    train = Grid(4, 4)
    plain = {grid: run(flux, grid) for grid in (train, Grid(8, 8))}
    restore = swap_rotary(flux, train, FREQUENCIES["yarn"](), LOGIT_SCALES["yarn"]())
    try:
        torch.testing.assert_close(run(flux, train), plain[train], atol=1e-5, rtol=1e-4)
        assert float((run(flux, Grid(8, 8)) - plain[Grid(8, 8)]).abs().max()) > 1e-3
    finally:
        restore()


def test_time_dependent_methods_follow_the_transformer_s_timestep(flux: torch.nn.Module) -> None:
    grid, train = Grid(8, 8), Grid(4, 4)
    plain = run(flux, grid, t=0.0)
    restore = swap_rotary(flux, train, FREQUENCIES["dype_ntk"](), positions=POSITIONS["grid"]())
    try:
        torch.testing.assert_close(run(flux, grid, t=0.0), plain, atol=1e-5, rtol=1e-4)  # nothing left to scale
        early = flux.pos_embed.t
        run(flux, grid, t=1.0)
        assert float(early) == 0
        assert float(flux.pos_embed.t) == 1
        cos, _ = flux.pos_embed(torch.cat(token_ids(grid)))
        ctx = Context(grid, train, t=torch.ones(1))
        slowest = FREQUENCIES["dype_ntk"]()(ctx, 1, 4)[0, -1]
        assert float(cos[3 + 7, -1]) == pytest.approx(math.cos(7 * float(slowest)), abs=1e-5)
        with pytest.raises(UserError, match="one timestep"):
            run(flux, grid, t=[0.2, 0.7], batch=2)
    finally:
        restore()


def test_what_is_no_flux_is_refused() -> None:
    with pytest.raises(UserError, match="Linear has no Flux-like rotary embedding"):
        swap_rotary(torch.nn.Linear(2, 2), Grid(4, 4))


def test_a_plain_attention_layer_takes_an_encoding_in_three_lines() -> None:
    """The use shown in the README: angles once, q and k rotated, logits scaled."""
    q, k, v = torch.randn(3, 1, 4, 12 * 16, 32, generator=torch.Generator().manual_seed(0))
    encoding = AxialRoPE(32, frequencies=FREQUENCIES["yarn"](), logit_scale=LOGIT_SCALES["yarn"]())
    enc = encoding(Context(grid=Grid(12, 16), train_grid=Grid(8, 8)))
    out = torch.nn.functional.scaled_dot_product_attention(
        rotate(q, enc.angles_BHNF) * enc.logit_scale, rotate(k, enc.angles_BHNF), v
    )
    angles = enc.angles_BHNF[0, 0]
    pairs = [
        torch.complex(x[0, 0, :, :16], x[0, 0, :, 16:]) * torch.polar(torch.ones_like(angles), angles) for x in (q, k)
    ]
    logits = (pairs[0] @ pairs[1].conj().T).real / 32**0.5 * enc.logit_scale
    torch.testing.assert_close(out[0, 0], logits.softmax(-1) @ v[0, 0], atol=1e-4, rtol=1e-4)
