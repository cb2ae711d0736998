"""Every family of transformers with random weights: its own bits where rules change nothing, others where they do.

Longer than other files, because it builds one small transformer of every family.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, Context, Grid
from rpe2d_bench.encodings.adapters import FAMILIES, Rules, family_of, put, swap_rotary
from rpe2d_bench.errors import UserError

TRAIN, LARGER, WIDE = Grid(4, 4), Grid(6, 6), Grid(4, 8)
SQUARES = "DiTTransformer2DModel"  # diffusers' code makes squares only
SMALL = {"in_channels": 4}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
Call = Callable[[Any, Grid, float], Tensor]


@pytest.fixture(scope="module")
def diffusers() -> Any:
    module = pytest.importorskip("diffusers", reason="diffusers is not installed (extra: bench)")
    from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

    import_torchvision()
    return module


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def ids(grid: Grid, *axes: int) -> Tensor:
    """[N, 3 or 4] (index, row, column) and zeros."""
    rows, columns = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    return torch.stack((torch.zeros_like(rows), rows, columns, *(torch.zeros_like(rows) for _ in axes)), -1).flatten(
        0, 1
    )


def sizes(name: str, *grids: Grid) -> list[Grid]:
    return [grid for grid in grids if grid.height == grid.width or name != SQUARES]


def flux2(model: Any, grid: Grid, t: float) -> Tensor:
    text = torch.zeros(3, 4, dtype=torch.long)
    text[:, 3] = torch.arange(3)
    return model(hidden_states=noise(2, grid.tokens, 4), encoder_hidden_states=noise(2, 3, 8), guidance=None,
                 timestep=torch.full((2,), t), img_ids=ids(grid, 0)[None], txt_ids=text[None]).sample  # fmt: skip


def sd3(model: Any, grid: Grid, t: float) -> Tensor:
    return model(hidden_states=noise(2, 4, 2 * grid.height, 2 * grid.width), encoder_hidden_states=noise(2, 3, 8),
                 pooled_projections=noise(2, 8), timestep=torch.full((2,), 1000 * t)).sample  # fmt: skip


def pixart(model: Any, grid: Grid, t: float) -> Tensor:
    return model(noise(2, 4, 2 * grid.height, 2 * grid.width), encoder_hidden_states=noise(2, 3, 32),
                 timestep=torch.full((2,), 1000 * t), added_cond_kwargs={"resolution": None, "aspect_ratio": None},
                 ).sample  # fmt: skip


def dit(model: Any, grid: Grid, t: float) -> Tensor:
    return model(noise(2, 4, 2 * grid.height, 2 * grid.width), timestep=torch.full((2,), int(1000 * t)),
                 class_labels=torch.tensor([1, 2])).sample  # fmt: skip


def lumina2(model: Any, grid: Grid, t: float) -> Tensor:
    mask = torch.tensor([[True, True, True], [True, True, False]])  # texts of two lengths
    return model(noise(2, 4, 2 * grid.height, 2 * grid.width), timestep=torch.full((2,), 1 - t),
                 encoder_hidden_states=noise(2, 3, 8), encoder_attention_mask=mask).sample  # fmt: skip


def z_image(model: Any, grid: Grid, t: float) -> Tensor:
    images = list(noise(2, 4, 1, 2 * grid.height, 2 * grid.width))
    return torch.stack(model(images, torch.full((2,), 1 - t), [noise(3, 8), noise(5, 8)]).sample)


def qwen(model: Any, grid: Grid, t: float) -> Tensor:
    return model(noise(2, grid.tokens, 16), encoder_hidden_states=noise(2, 3, 16), timestep=torch.full((2,), t),
                 encoder_hidden_states_mask=torch.ones(2, 3, dtype=torch.long),
                 img_shapes=[[(1, grid.height, grid.width)]] * 2).sample  # fmt: skip


def hunyuan(model: Any, grid: Grid, t: float) -> Tensor:
    from diffusers.models.embeddings import get_2d_rotary_pos_embed

    longer = max(grid.height, grid.width)  # the pipeline's get_resize_crop_region_for_grid
    height, width = round(32 * grid.height / longer), round(32 * grid.width / longer)
    top, left = round((32 - height) / 2), round((32 - width) / 2)
    crop = (top, left), (top + height, left + width)
    turns = get_2d_rotary_pos_embed(16, crop, (grid.height, grid.width), output_type="pt")
    return model(noise(2, 4, 2 * grid.height, 2 * grid.width), timestep=torch.full((2,), 1000 * t),
                 encoder_hidden_states=noise(2, 3, 8), text_embedding_mask=torch.ones(2, 3, dtype=torch.long),
                 encoder_hidden_states_t5=noise(2, 3, 8), text_embedding_mask_t5=torch.ones(2, 3, dtype=torch.long),
                 image_meta_size=torch.ones(2, 6), style=torch.zeros(2, dtype=torch.long),
                 image_rotary_emb=turns).sample  # fmt: skip


MODELS: dict[str, tuple[dict[str, Any], Call]] = {
    "Flux2Transformer2DModel": (dict(HEADS, num_layers=1, num_single_layers=1, in_channels=4, joint_attention_dim=8,
        axes_dims_rope=(4, 4, 4, 4), timestep_guidance_channels=8, guidance_embeds=False), flux2),
    "SD3Transformer2DModel": (dict(HEADS, sample_size=8, in_channels=4, out_channels=4, joint_attention_dim=8,
        caption_projection_dim=32, pooled_projection_dim=8, pos_embed_max_size=8), sd3),
    "PixArtTransformer2DModel": (dict(HEADS, sample_size=8, norm_num_groups=1, cross_attention_dim=32,
        caption_channels=32, interpolation_scale=2, use_additional_conditions=False), pixart),
    "DiTTransformer2DModel": (dict(HEADS, in_channels=4, out_channels=8, sample_size=8, norm_num_groups=1), dit),
    "Lumina2Transformer2DModel": (dict(SMALL, sample_size=8, hidden_size=24, num_layers=1,
        num_refiner_layers=1, num_attention_heads=1, num_kv_heads=1, multiple_of=8, axes_dim_rope=(8, 8, 8),
        cap_feat_dim=8), lumina2),
    "ZImageTransformer2DModel": (dict(SMALL, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
        cap_feat_dim=8, axes_dims=[4, 4, 8]), z_image),
    "QwenImageTransformer2DModel": (dict(HEADS, num_layers=1, in_channels=16, out_channels=4, joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4)), qwen),
    "HunyuanDiT2DModel": (dict(HEADS, in_channels=4, patch_size=2, sample_size=8, hidden_size=32, text_len=3,
        cross_attention_dim=8, cross_attention_dim_t5=8, pooled_projection_dim=8, text_len_t5=3), hunyuan),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(diffusers: Any) -> dict[str, Any]:
    built = {}
    for name, (options, _) in MODELS.items():
        torch.manual_seed(0)
        model = getattr(diffusers, name)(**options).eval().requires_grad_(False)
        for parameter in model.parameters():  # zeros at the start would hide every difference
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
        built[name] = model
    return built


@pytest.mark.parametrize("name", list(MODELS))
def test_a_family_keeps_its_bits_where_rules_change_nothing_and_restores(name: str, models: dict[str, Any]) -> None:
    model, call = models[name], MODELS[name][1]
    family = family_of(model)
    before = {grid: call(model, grid, 0.5) for grid in sizes(name, TRAIN, LARGER, WIDE)}
    names = set(model.state_dict())
    for kind in ("geometric", "interpolated", "ntk", "dype_ntk"):
        scale = LOGIT_SCALES["constant" if family.adds or kind == "geometric" else "yarn"]()
        restore = swap_rotary(model, TRAIN, FREQUENCIES[kind](), scale)
        assert torch.equal(call(model, TRAIN, 0.5), before[TRAIN]), kind
        changed = float((call(model, LARGER, 0.5) - before[LARGER]).abs().max())
        if kind == "geometric" and not family.squeezes:
            assert changed == 0
        elif kind == "interpolated" and family.squeezes and family.adds:
            assert changed < 1e-4  # what the model does anyway
        else:
            assert changed > 1e-5, kind
        restore()
        for grid, expected in before.items():
            assert torch.equal(call(model, grid, 0.5), expected), (kind, grid)
    assert set(model.state_dict()) == names
    assert not model._forward_pre_hooks


@pytest.mark.parametrize("name", list(MODELS))
def test_plain_rules_are_extrapolation(name: str, models: dict[str, Any]) -> None:
    """Where a model's own rule is extrapolation nothing changes at any size; where it squeezes, other sizes do."""
    model, call = models[name], MODELS[name][1]
    for grid in sizes(name, Grid(3, 3), Grid(3, 4), LARGER, WIDE):
        own = call(model, grid, 0.5)
        restore = swap_rotary(model, TRAIN)
        assert torch.equal(call(model, grid, 0.5), own) is not family_of(model).squeezes
        restore()


@dataclasses.dataclass(frozen=True)
class Doubled:
    """Positions twice as far apart."""

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        rows_BN, columns_BN = POSITIONS["grid"]()(ctx)
        return 2 * rows_BN, 2 * columns_BN


@dataclasses.dataclass(frozen=True)
class Halved:
    """Frequencies half as fast."""

    theta: float = 10_000.0

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return FREQUENCIES["geometric"](theta=self.theta)(ctx, axis, F) / 2


@pytest.mark.parametrize("name", list(MODELS))
def test_angles_computed_by_us_are_the_model_s_own(name: str, models: dict[str, Any]) -> None:
    """Two changed rules whose product is the plain one: every angle is ours, every output the model's."""
    model, call = models[name], MODELS[name][1]
    if name == "QwenImageTransformer2DModel":
        pytest.skip("its middle is a position, which is not halved with the frequencies")
    # HunyuanDiT's pipeline steps otherwise along the shorter side of images that are not square
    for grid in sizes(name, LARGER) if name.startswith("Hunyuan") else sizes(name, LARGER, WIDE):
        own = call(model, grid, 0.5)
        restore = put(model, Rules(grid, Halved(), positions=Doubled()))
        torch.testing.assert_close(call(model, grid, 0.5), own, atol=2e-5, rtol=1e-4)
        restore()
        restore = put(model, Rules(grid, positions=Doubled()))
        assert float((call(model, grid, 0.5) - own).abs().max()) > 1e-5
        restore()


@pytest.mark.parametrize("name", list(MODELS))
def test_time_is_read_as_the_pipeline_passes_it(name: str, models: dict[str, Any]) -> None:
    """dype_ntk leaves data at t = 0 alone; at t = 1 it is ntk."""
    model, call = models[name], MODELS[name][1]
    plain = swap_rotary(model, TRAIN)
    at_data = call(model, LARGER, 0.0)
    plain()
    restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    torch.testing.assert_close(call(model, LARGER, 0.0), at_data, atol=2e-5, rtol=1e-4)
    assert float((call(model, LARGER, 1.0 if "DiTT" not in name else 0.999) - at_data).abs().max()) > 1e-5
    restore()


def test_sd3_makes_images_beyond_its_table_around_the_trained_middle(models: dict[str, Any]) -> None:
    model = models["SD3Transformer2DModel"]
    with pytest.raises(ValueError, match="cannot be greater"):
        sd3(model, Grid(12, 12), 0.5)
    restore = swap_rotary(model, TRAIN)
    assert sd3(model, Grid(12, 12), 0.5).isfinite().all()
    restore()
    with pytest.raises(ValueError, match="cannot be greater"):
        sd3(model, Grid(12, 12), 0.5)


def test_an_error_in_a_call_leaves_the_table_as_it_was(models: dict[str, Any]) -> None:
    model = models["DiTTransformer2DModel"]
    own = dit(model, LARGER, 0.5)
    restore = swap_rotary(model, TRAIN)
    with pytest.raises(RuntimeError):
        model(noise(2, 5, 12, 12), timestep=torch.tensor([1, 1]), class_labels=torch.tensor([1, 2]))
    restore()
    assert torch.equal(dit(model, LARGER, 0.5), own)


def test_what_cannot_be_adapted_says_why_in_one_sentence(diffusers: Any, models: dict[str, Any]) -> None:
    for name, why in (("SanaTransformer2DModel", "has no positions"), ("AuraFlowTransformer2DModel", "learned one")):
        model = object.__new__(getattr(diffusers, name))
        torch.nn.Module.__init__(model)
        with pytest.raises(UserError, match=f"{name} {why}"):
            swap_rotary(model, TRAIN)
    with pytest.raises(UserError, match="adds its positions to the patches, where a logit scale has no place"):
        swap_rotary(models["PixArtTransformer2DModel"], TRAIN, logit_scale=LOGIT_SCALES["yarn"]())


def test_every_family_is_tested() -> None:
    flux = {name for name, family in FAMILIES.items() if family.install is FAMILIES["FluxTransformer2DModel"].install}
    assert set(FAMILIES) == set(MODELS) | flux
