"""Our rules inside a diffusers Flux transformer with random weights, and inside a plain attention layer.

Longer than other files, because one small transformer serves all of its tests.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, AxialRoPE, Context, Grid, rotate
from rpe2d_bench.encodings.adapters import FluxRotary, PlainRotary, Rules, swap_rotary
from rpe2d_bench.errors import UserError


@pytest.fixture(scope="module")
def flux() -> torch.nn.Module:
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra: bench)")
    from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

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


def test_rules_reach_the_image_s_rows_and_columns_alone(flux: torch.nn.Module) -> None:
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


def test_methods_change_larger_images_and_only_those(flux: torch.nn.Module) -> None:
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
        early = flux.pos_embed.clock.t
        run(flux, grid, t=1.0)
        assert float(early) == 0
        assert float(flux.pos_embed.clock.t) == 1
        cos, _ = flux.pos_embed(torch.cat(token_ids(grid)))
        ctx = Context(grid, train, t=torch.ones(1))
        slowest = FREQUENCIES["dype_ntk"]()(ctx, 1, 4)[0, -1]
        assert float(cos[3 + 7, -1]) == pytest.approx(math.cos(7 * float(slowest)), abs=1e-5)
        with pytest.raises(UserError, match="one timestep"):
            run(flux, grid, t=[0.2, 0.7], batch=2)
    finally:
        restore()


def test_what_is_no_flux_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"Linear has no positions that rules can .* supported are diffusers' Flux, Chroma"
    ):
        swap_rotary(torch.nn.Linear(2, 2), Grid(4, 4))


SMALL = {"num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 8}
IMAGE_AXES = {"axes_dims_rope": (4, 4, 8), "in_channels": 4}
SUPPORTED: dict[str, dict[str, Any]] = {
    "FluxTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, pooled_projection_dim=8),
    "ChromaTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, approximator_num_channels=8,
                                     approximator_hidden_dim=8, approximator_layers=1),
    "LongCatImageTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, pooled_projection_dim=8),
    "OvisImageTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, out_channels=4),
    "BriaTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, pooled_projection_dim=None),
    "BriaFiboTransformer2DModel": dict(SMALL, **IMAGE_AXES, num_single_layers=1, text_encoder_dim=8),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SUPPORTED))
def test_every_supported_model_keeps_its_own_bits_where_nothing_changes(name: str, diffusers: Any) -> None:
    """The embedding inside the built model, at and below the trained grid, also under autocast; beyond, it differs."""
    torch.manual_seed(0)
    model = getattr(diffusers, name)(**SUPPORTED[name])
    stock = model.pos_embed
    restore = swap_rotary(model, Grid(6, 6), FREQUENCIES["dype_yarn"](), LOGIT_SCALES["yarn"]())
    scale = 1000.0 if "Bria" in name else 1.0
    model.pos_embed.remember(model, (), {"timestep": torch.tensor([0.5 * scale]), "txt_ids": torch.zeros(3, 3)})
    assert float(model.pos_embed.clock.t) == 0.5
    for grid in (Grid(6, 6), Grid(4, 5), Grid(1, 6)):
        ids = torch.cat(token_ids(grid))
        with torch.autocast("cpu", torch.bfloat16):
            found = model.pos_embed(ids)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, stock(ids), strict=True))
    larger = torch.cat(token_ids(Grid(12, 12)))
    assert not torch.equal(model.pos_embed(larger)[0], stock(larger)[0])
    restore()
    assert model.pos_embed is stock


def test_the_whole_flux_gives_the_same_bits_at_its_training_size(flux: torch.nn.Module) -> None:
    before = {grid: run(flux, grid) for grid in (Grid(8, 8), Grid(3, 7), Grid(1, 8))}
    for frequencies in FREQUENCIES:
        restore = swap_rotary(flux, Grid(8, 8), FREQUENCIES[frequencies](), LOGIT_SCALES["yarn"]())
        for grid, expected in before.items():
            assert torch.equal(run(flux, grid), expected), (frequencies, grid)
        restore()


def embedding(train: Grid, frequencies: str = "geometric", logit_scale: str = "constant", **options: Any) -> FluxRotary:
    rules = Rules(train, FREQUENCIES[frequencies](), LOGIT_SCALES[logit_scale]())
    return FluxRotary(10_000.0, (4, 4, 8), rules, **options)


def test_reference_images_do_not_set_the_scale_and_follow_the_image_s_rules() -> None:
    text, image = token_ids(Grid(8, 8))
    reference = token_ids(Grid(16, 16))[1] + torch.tensor([1.0, 0, 0])
    alone = embedding(Grid(8, 8), "yarn", "yarn")(torch.cat((text, image)))
    both = embedding(Grid(8, 8), "yarn", "yarn")(torch.cat((text, image, reference)))
    assert torch.equal(both[0][:67], alone[0])
    plain = PlainRotary(10_000.0, (4, 4, 8))(torch.cat((text, image, reference)))
    assert torch.equal(both[0], plain[0])  # s = 1 whatever the reference's size
    cos, _ = embedding(Grid(4, 4), "interpolated")(torch.cat((text, image, reference)))
    token = 67 + 16 * 5 + 9  # row 5, column 9 of the reference; its own axis turns by 1
    assert float(cos[token, 4]) == pytest.approx(math.cos(2.5), abs=1e-6)
    assert float(cos[token, 8]) == pytest.approx(math.cos(4.5), abs=1e-6)
    assert float(cos[token, 0]) == pytest.approx(math.cos(1.0), abs=1e-6)


@pytest.mark.parametrize("first", [0.0, 512.0, -7.5])
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_offsets_and_steps_turn_the_corner_as_trained(first: float, step: float) -> None:
    """Angle = first f + step k f': what text sees of the image's corner stays, within the image the rule holds."""
    text, image = token_ids(Grid(8, 8))
    image[:, 1:] = first + step * image[:, 1:]
    cos, _ = embedding(Grid(4, 4), "interpolated")(torch.cat((text, image)))
    assert float(cos[3 + 8 * 5 + 2, 4]) == pytest.approx(math.cos(first + step * 2.5), abs=1e-4)
    plain, stock = embedding(Grid(4, 4)), PlainRotary(10_000.0, (4, 4, 8))
    assert torch.equal(plain(torch.cat((text, image)))[0], stock(torch.cat((text, image)))[0])


def test_rules_of_positions_need_one_image() -> None:
    text, image = token_ids(Grid(4, 4))
    random = POSITIONS["random"](max_grid=(16, 16), inference="random")
    rotary = FluxRotary(10_000.0, (4, 4, 8), Rules(Grid(4, 4), positions=random))
    rotary(torch.cat((text, image)))
    with pytest.raises(UserError, match="leave positions at grid"):
        rotary(torch.cat((text, image, token_ids(Grid(9, 9))[1] + torch.tensor([1.0, 0, 0]))))


def test_a_time_in_other_units_is_refused_where_it_matters() -> None:
    ids = torch.cat(token_ids(Grid(8, 8)))
    for frequencies in ("yarn", "dype_ntk"):
        rotary = embedding(Grid(4, 4), frequencies)
        rotary.clock.t = torch.tensor([500.0])
        if frequencies == "yarn":
            rotary(ids)
            continue
        with pytest.raises(
            UserError, match=r"at t = 500, outside of 0 \(data\) to 1 \(noise\), and these rules depend on time"
        ):
            rotary(ids)


def test_a_second_swap_takes_the_place_of_the_first(flux: torch.nn.Module) -> None:
    stock = flux.pos_embed
    swap_rotary(flux, Grid(4, 4), FREQUENCIES["ntk"]())
    restore = swap_rotary(flux, Grid(4, 4), FREQUENCIES["yarn"]())
    assert flux.pos_embed.stock is stock
    restore()
    assert flux.pos_embed is stock
    assert not flux._forward_pre_hooks


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
