"""A small transformer of every family of diffusers with random weights, and how each is called at a grid and a time.

A batch of two everywhere, with two texts, classes or lengths of text.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings import Grid
from rpe2d_bench.sampling.pipeline_folder import diffusers

TRAIN, LARGER, WIDE = Grid(4, 4), Grid(6, 6), Grid(4, 8)
SQUARES = "DiTTransformer2DModel"  # diffusers' code makes squares only
SMALL = {"in_channels": 4}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
Call = Callable[[Any, Grid, float], Tensor]


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


def build(name: str) -> Any:
    """With numbers everywhere: zeros at the start would hide every difference."""
    torch.manual_seed(0)
    model = getattr(diffusers(), name)(**MODELS[name][0]).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    return model
