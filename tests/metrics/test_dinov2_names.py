"""DINOv2 weights as transformers names them, under timm's names."""

from __future__ import annotations

import torch

from rpe2d_bench.metrics.nets.dinov2 import from_transformers

WIDTH = 4


def theirs() -> dict[str, torch.Tensor]:
    state = {
        "embeddings.cls_token": torch.zeros(1, 1, WIDTH),
        "embeddings.mask_token": torch.zeros(1, WIDTH),
        "embeddings.position_embeddings": torch.zeros(1, 2, WIDTH),
        "embeddings.patch_embeddings.projection.weight": torch.zeros(WIDTH, 3, 14, 14),
        "embeddings.patch_embeddings.projection.bias": torch.zeros(WIDTH),
        "layernorm.weight": torch.ones(WIDTH),
        "layernorm.bias": torch.zeros(WIDTH),
    }
    block = "encoder.layer.0."
    for value, part in enumerate(("query", "key", "value")):
        state[f"{block}attention.attention.{part}.weight"] = torch.full((WIDTH, WIDTH), float(value))
        state[f"{block}attention.attention.{part}.bias"] = torch.full((WIDTH,), float(value))
    for name in ("attention.output.dense", "mlp.fc1", "mlp.fc2", "norm1", "norm2"):
        state |= {f"{block}{name}.weight": torch.zeros(WIDTH), f"{block}{name}.bias": torch.zeros(WIDTH)}
    return state | {f"{block}layer_scale{n}.lambda1": torch.full((WIDTH,), float(n)) for n in (1, 2)}


def test_every_name_is_timms_and_qkv_is_in_order() -> None:
    ours = from_transformers(theirs())
    block = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"}
    names = {f"blocks.0.{name}.{kind}" for name in block for kind in ("weight", "bias")}
    names |= {"blocks.0.ls1.gamma", "blocks.0.ls2.gamma", "cls_token", "pos_embed", "norm.weight", "norm.bias"}
    assert set(ours) == names | {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert ours["blocks.0.attn.qkv.bias"].tolist() == [0.0] * WIDTH + [1.0] * WIDTH + [2.0] * WIDTH
    assert ours["blocks.0.ls2.gamma"].tolist() == [2.0] * WIDTH


def test_other_layouts_stay_as_they_are() -> None:
    state = {"cls_token": torch.zeros(1), "blocks.0.attn.qkv.weight": torch.zeros(1)}
    assert from_transformers(state) == state
    wrapped = from_transformers({f"dinov2.{name}": value for name, value in theirs().items()})
    assert set(wrapped) == set(from_transformers(theirs()))
