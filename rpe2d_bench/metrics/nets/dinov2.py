"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193) as a feature net, where its weights are given; FD-DINOv2 of Stein et
al. 2023 (arXiv 2306.04675) takes the class token of ViT-L/14 at 224 pixels.

The net is timm's; the file may be timm's, Hugging Face's or the original .pth of any of the four sizes without
registers, whose size is read from the weights. Only the large one is called `dinov2`, as FD-DINOv2 is defined on it;
the others carry their size in their name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.errors import UserError
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


class Dinov2:
    """The feature net `dinov2`."""

    input_size: tuple[int, int] | None = (224, 224)
    channels = 3

    def __init__(self, weights: Path) -> None:
        try:
            import_torchvision()  # timm imports it
            import timm
        except ImportError as error:
            raise UserError("the net 'dinov2' needs timm; write: pip install timm") from error
        self.version = digest(weights)
        state = read_state(weights)
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
