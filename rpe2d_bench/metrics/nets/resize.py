"""The one resizer of every metric: clean-fid's "clean" mode, PIL's antialiased bicubic filter on floats.

That filter is linear and separable, so small images are resized a batch at a time with two matrix products, five
times faster than one by one. Larger ones go through Pillow, as in clean-fid, which skips the zeros of those matrices.
`tests/metrics/test_resize.py` holds both to clean-fid's own resizer at 1e-4 grey levels.

Shapes: N images, C channels, H and W input, h and w output.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

MODE = "clean-fid clean (PIL bicubic, antialiased, float)"
DENSE = 96  # pixels of the longer side up to which matrix products are faster
_SUPPORT = 2.0  # of Keys' cubic kernel, in samples of the coarser grid


def _keys_cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, eq. 15), the value Pillow uses for BICUBIC."""
    x, a = np.abs(x), -0.5
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < _SUPPORT, outer, 0.0))


@lru_cache(maxsize=256)
def weights(source: int, target: int) -> Tensor:
    """[source, target] float64: what each source sample gives to each target sample; columns sum to one.

    The kernel is stretched by the scale when shrinking (antialiasing) and is cut off and renormalised at the
    borders, with the window rounded as Pillow rounds it (Pillow@11 src/libImaging/Resample.c precompute_coeffs).
    """
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.clip((centres - _SUPPORT * stretch + 0.5).astype(int), 0, None)
    last = np.clip((centres + _SUPPORT * stretch + 0.5).astype(int), None, source)
    samples = np.arange(source)[:, None]
    values = _keys_cubic((samples - centres + 0.5) / stretch)
    values[(samples < first) | (samples >= last)] = 0.0
    return torch.from_numpy(values / values.sum(axis=0))


def resize(images_NCHW: np.ndarray | Tensor, size: Size) -> Tensor:
    """Resize uint8 (or float grey levels) images [N, C, H, W] to float32 [N, C, h, w], clipped to 0..255."""
    images = torch.as_tensor(images_NCHW)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise UserError(f"images of shape {tuple(images.shape)} cannot be resized; expected [N, C, H, W]")
    if min(size) < 1:
        raise UserError(f"cannot resize to {size[0]} x {size[1]} pixels; both must be at least 1")
    if tuple(images.shape[2:]) == tuple(size):
        return images.to(torch.float32)
    if max(images.shape[2:]) > DENSE:
        return _one_by_one(images, size)
    images = images.to(torch.float32)
    across = weights(images.shape[3], size[1]).to(torch.float32)
    down = weights(images.shape[2], size[0]).to(torch.float32)
    return (down.T @ (images @ across)).clamp_(0.0, 255.0)


def padded(images_NCHW: np.ndarray | Tensor, size: Size) -> Tensor:
    """As `resize`, but not stretched: as large as fits, centred, with the pixels of the edge continued around it."""
    height, width = torch.as_tensor(images_NCHW).shape[2:]
    scale = min(size[0] / height, size[1] / width)
    inner = (round(height * scale), round(width * scale))
    down, across = size[0] - inner[0], size[1] - inner[1]
    borders = (across // 2, across - across // 2, down // 2, down - down // 2)
    return torch.nn.functional.pad(resize(images_NCHW, inner), borders, mode="replicate")


def _one_by_one(images_NCHW: Tensor, size: Size) -> Tensor:
    """Pillow's filter over one channel after another: no large tensor but the result."""
    planes = images_NCHW.reshape(-1, *images_NCHW.shape[2:]).cpu().numpy()
    result = torch.empty(len(planes), *size)
    for plane_HW, resized_hw in zip(planes, result.numpy(), strict=True):
        grey = Image.fromarray(plane_HW.astype(np.float32))
        resized = np.asarray(grey.resize((size[1], size[0]), Image.Resampling.BICUBIC))
        np.clip(resized, 0.0, 255.0, out=resized_hw)
    return result.reshape(*images_NCHW.shape[:2], *size)


def describe(source: Size, target: Size | None) -> str:
    """What a result says about its resize."""
    if target is None or tuple(source) == tuple(target):
        return f"none ({source[0]}x{source[1]})"
    return f"{source[0]}x{source[1]} -> {target[0]}x{target[1]}, {MODE}"
