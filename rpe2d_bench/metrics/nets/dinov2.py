"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193) as a feature net, where its weights are given; FD-DINOv2 of Stein et
al. 2023 (arXiv 2306.04675) takes the class token of ViT-L/14 at 224 pixels.

The net is timm's; the file may be timm's, that of transformers or the original .pth of any of the four sizes without
registers, whose size is read from the weights. Only the large one is called `dinov2`, as FD-DINOv2 is defined on it;
the others carry their size in their name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.inputs import INPUTS
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision
from rpe2d_bench.metrics.nets.weights_file import digest, read_state

# width of the tokens -> timm's name, ours
SIZES = {
    384: ("vit_small_patch14_dinov2", "dinov2-small"),
    768: ("vit_base_patch14_dinov2", "dinov2-base"),
    1024: ("vit_large_patch14_dinov2", "dinov2"),
    1536: ("vit_giant_patch14_dinov2", "dinov2-giant"),
}
# ImageNet's mean and standard deviation, which DINOv2 was trained with
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# Names of transformers, below embeddings. and encoder.layer.N., and timm's
EMBEDDINGS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.register_tokens": "reg_token",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
LAYERS = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.weights_in": "mlp.fc1",  # of the giant's SwiGLU, packed alike
    "mlp.weights_out": "mlp.fc2",
}
LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.*)")


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under timm's names, where they have those of transformers' Dinov2Model; others as they are.

    query, key and value become one matrix; the mask token, which only pretraining uses, is left out.
    """
    state = {name.removeprefix("dinov2."): value for name, value in state.items()}
    if "embeddings.cls_token" not in state:
        return state
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in EMBEDDINGS:
            named[EMBEDDINGS[name]] = value
        elif (found := LAYER.fullmatch(name)) is not None and not found[2].startswith("attention.attention."):
            below = found[2]
            for theirs, ours in LAYERS.items():
                below = below.replace(theirs, ours)
            named[f"blocks.{found[1]}.{below}"] = value
    for first in [name for name in state if name.endswith("attention.attention.query.weight")]:
        layer = first.split(".")[2]
        for kind in ("weight", "bias"):
            parts = [
                state[f"encoder.layer.{layer}.attention.attention.{part}.{kind}"] for part in ("query", "key", "value")
            ]
            named[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
    return named


class Dinov2:
    """The feature net `dinov2`."""

    input_size: tuple[int, int] | None = INPUTS["dinov2"]
    channels = 3

    def __init__(self, weights: Path) -> None:
        try:
            import_torchvision()  # timm imports it
            import timm
        except ImportError as error:
            raise UserError("the net 'dinov2' needs timm; write: pip install timm") from error
        self.version = digest(weights)
        state = from_transformers(read_state(weights))
        token = state.get("cls_token")
        if token is None or token.shape[-1] not in SIZES or "reg_token" in state or "register_tokens" in state:
            raise UserError(f"{weights} does not hold DINOv2 weights without registers of a known size")
        self.num_features = int(token.shape[-1])
        architecture, self.name = SIZES[self.num_features]
        model: Any = timm.create_model(architecture, img_size=self.input_size, num_classes=0)
        from timm.models.vision_transformer import checkpoint_filter_fn

        try:
            model.load_state_dict(checkpoint_filter_fn(state, model))
        except RuntimeError as error:
            raise UserError(f"{weights} does not fit DINOv2 ({str(error).splitlines()[0]})") from error
        self._module = model.eval()

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 [N, 3, 224, 224] -> class tokens [N, D]."""
        self._module.to(images_NCHW.device)
        mean, deviation = (torch.tensor(x, device=images_NCHW.device).reshape(1, 3, 1, 1) for x in (MEAN, DEVIATION))
        return self._module.forward_features((images_NCHW / 255.0 - mean) / deviation)[:, 0], None
