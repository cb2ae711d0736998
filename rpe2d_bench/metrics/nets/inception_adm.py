"""The Inception net behind the resize of ADM's evaluator, for numbers that stand beside published FIDs.

The graph that openai/guided-diffusion's evaluator runs begins with TensorFlow 1's ResizeBilinear as it was by default:
corners not aligned, pixel centres not halved, no antialiasing. Output pixel i of an axis reads source position
i x source / target, between the two nearest samples. clean-fid's resize (Parmar et al. 2022, arXiv 2104.11222) exists
because that one folds frequencies; FIDs by the two cannot be compared.

Shape suffixes: N images, C channels, H W pixels, D features, K classes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from rpe2d_bench.metrics.nets.inception import Inception
from rpe2d_bench.metrics.nets.inputs import INPUTS


class InceptionADM:
    """The feature net `inception-adm`: it takes images of every size and resizes them itself."""

    name = "inception-adm"
    input_size: tuple[int, int] | None = None
    resizing = "to 299x299 by TensorFlow 1's bilinear filter, as ADM's evaluator does"
    channels = 3

    def __init__(self, weights: Path) -> None:
        self._net = Inception(weights)
        self.version, self.num_features = self._net.version, self._net.num_features

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 [N, 3, H, W] -> features [N, D] and logits without bias [N, K]."""
        return self._net.features_and_logits(tensorflow_bilinear(images_NCHW, INPUTS["inception"]))


def tensorflow_bilinear(images_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, C, h, w] by TensorFlow 1's ResizeBilinear with align_corners and half_pixel_centers false."""
    down, across = (
        _weights(source, target).to(images_NCHW.device, images_NCHW.dtype)
        for source, target in zip(images_NCHW.shape[2:], size, strict=True)
    )
    return down.T @ (images_NCHW @ across)


@lru_cache(maxsize=64)
def _weights(source: int, target: int) -> Tensor:
    """[source, target] what each source sample gives to each target sample."""
    at = torch.arange(target, dtype=torch.float64) * (source / target)
    low = at.floor().long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    fraction = at - low
    found = torch.zeros(source, target, dtype=torch.float64)
    column = torch.arange(target)
    found.index_put_((low, column), 1 - fraction, accumulate=True)
    found.index_put_((high, column), fraction, accumulate=True)
    return found
