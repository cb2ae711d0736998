"""The one antialiasing filter of the data: Keys' cubic (a = -1/2) stretched to the pitch of the output pixels.

It is the kernel of Pillow's BICUBIC, hence of clean-fid's resizer (Parmar et al. 2022). Resampling is separable and
written as one matrix per axis and image, so that a batch with a different window per image is two products.

Shape suffixes: B batch, O output pixels of an axis, I input pixels of an axis, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

SUPPORT = 2.0  # the kernel ends two output pixels from its centre


def _truncated(u: Tensor) -> tuple[Tensor, Tensor]:
    """q = max(2 - |u|, 0) and p = max(1 - |u|, 0): in their powers both pieces of the kernel are one expression."""
    v = u.abs()
    return (2.0 - v).clamp_(min=0.0), v.neg_().add_(1.0).clamp_(min=0.0)


def keys_cubic(u: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, eq. 4): q^2 (q - 1) / 2 + p^2 (1 - 2 p)."""
    q, p = _truncated(u)
    outer = (q - 1.0).mul_(q).mul_(q)
    inner = p.mul(-2.0).add_(1.0).mul_(p).mul_(p)
    return inner.add_(outer, alpha=0.5)


def keys_cubic_integral(u: Tensor) -> Tensor:
    """The kernel's integral from 0 to u, 1/2 - q^3 (q / 8 - 1 / 6) - p^3 (1 / 3 - p / 2) for u > 0; odd."""
    q, p = _truncated(u)
    outer = q.mul(-1 / 8).add_(1 / 6).mul_(q).mul_(q).mul_(q)
    inner = p.mul(1 / 2).sub_(1 / 3).mul_(p).mul_(p).mul_(p)
    return torch.copysign(inner.add_(outer).add_(0.5), u)


def box_weights(centres_BO: Tensor, pitch: float, first_B: Tensor, step_B: Tensor, count: int) -> Tensor:
    """Weights [B, O, count] of boxes for outputs at the centres: the kernel integrated over each box.

    Box j of image b spans first_b + [j, j + 1] * step_b; there is nothing outside the boxes, so rows sum to less
    than one where the kernel reaches over the end. All lengths in one unit; pitch is that of the output pixels.
    """
    edges_BI = first_B[:, None] + step_B[:, None] * torch.arange(count + 1)
    integral_BOI = keys_cubic_integral((edges_BI[:, None, :] - centres_BO[:, :, None]).div_(pitch))
    return integral_BOI[:, :, 1:] - integral_BOI[:, :, :-1]


def window_weights(start_B: Tensor, length_B: Tensor, inputs: int, outputs: int) -> Tensor:
    """Weights [B, outputs, inputs] that resize the windows [start, start + length) (input pixels) to the outputs.

    As Pillow's resize with a box: the kernel is widened to the coarser of the two pitches, sampled at the centres of
    the input pixels, cut at the border of the image (not of the window), and normalised.
    """
    scale_B = length_B / outputs
    centres_BO = start_B[:, None] + scale_B[:, None] * (torch.arange(outputs, device=start_B.device) + 0.5)
    pixels_I = torch.arange(inputs, device=start_B.device) + 0.5
    width_B11 = scale_B.clamp(min=1.0)[:, None, None]
    weights_BOI = keys_cubic((pixels_I - centres_BO[:, :, None]).div_(width_B11))
    return weights_BOI.div_(weights_BOI.sum(-1, keepdim=True))


def inner_weights(pixels: int, margin: int, fine: int) -> Tensor:
    """`window_weights` of an axis that was drawn `fine` times finer, with `margin` more pixels at each end."""
    drawn = (pixels + 2 * margin) * fine
    return window_weights(torch.tensor([margin * fine]), torch.tensor([pixels * fine]), drawn, pixels)


def resample(images_BCHW: Tensor, rows_BOI: Tensor, columns_BOI: Tensor) -> Tensor:
    """Rows times image times columns transposed; weights with batch 1 are shared by all images."""
    return rows_BOI[:, None] @ images_BCHW @ columns_BOI[:, None].transpose(-1, -2)
