"""Ways in which a generated image goes wrong, for training glyphnet to see them. Images are float [0, 255].

Every kind is a function of (images_BCHW, strength_B in [0, 1], rng), without a loop over images; most vanish at
strength 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

Damage = Callable[[Tensor, Tensor, Generator], Tensor]


def _wide(strength_B: Tensor) -> Tensor:
    return strength_B[:, None, None, None]


def _low_pass(x: Tensor, sigma_B: Tensor) -> Tensor:
    """Gaussian blur with a width per image, in pixels, as one matrix per axis."""
    for axis in (2, 3):
        at = torch.arange(x.shape[axis], dtype=torch.float32)
        weights = torch.exp(-0.5 * ((at[:, None] - at)[None] / sigma_B[:, None, None]) ** 2)
        weights = (weights / weights.sum(-1, keepdim=True))[:, None]
        x = weights @ x if axis == 2 else x @ weights.transpose(-1, -2)
    return x


def blur(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    return _low_pass(x, 0.2 + strength_B * 0.08 * min(x.shape[2:]))


def noise(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    return x + 70 * _wide(strength_B) * torch.randn(x.shape, generator=rng)


def tiling(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    """Two or four small copies; which of the three layouts is drawn for the batch."""
    down, across = ((1, 2), (2, 1), (2, 2))[int(torch.randint(3, (), generator=rng))]
    size = (-(-x.shape[2] // down), -(-x.shape[3] // across))
    small = functional.interpolate(x, size, mode="bicubic", antialias=True)
    return small.repeat(1, 1, down, across)[:, :, : x.shape[2], : x.shape[3]]


def blocks(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    """Every second sample held, mixed in by strength: edges move by half a sample and become stairs."""
    held = x[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : x.shape[2], : x.shape[3]]
    return torch.lerp(x, held, _wide(strength_B))


def tears(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    """Every second row of patches is shifted along."""
    patch = max(2, min(x.shape[2:]) // 8)
    odd = (torch.arange(x.shape[2]) // patch % 2 == 1)[:, None]
    return torch.where(odd, _shift(x, strength_B * 0.15 * x.shape[3]), x)


def _shift(x: Tensor, pixels_B: Tensor) -> Tensor:
    """Moved to the right around the border, by pixels that need not be whole."""
    at = torch.arange(x.shape[3], dtype=torch.float32) - pixels_B[:, None]
    low = at.floor()
    left = torch.gather(x, 3, (low.long() % x.shape[3])[:, None, None].expand(x.shape))
    right = torch.gather(x, 3, ((low.long() + 1) % x.shape[3])[:, None, None].expand(x.shape))
    return torch.lerp(left, right, (at - low)[:, None, None])


def fade(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    return x * (1 - 0.95 * _wide(strength_B))


def _cells(x: Tensor, cells_BCHW: Tensor) -> Tensor:
    return functional.interpolate(cells_BCHW, x.shape[2:], mode="nearest")


def holes(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    kept = torch.rand((len(x), 1, 8, 8), generator=rng) > 0.45 * _wide(strength_B)
    return x * _cells(x, kept.float())


def ghost(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    return x + 0.8 * _wide(strength_B) * _shift(x, torch.rand(len(x), generator=rng) * x.shape[3])


def patch_gains(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    gains = torch.randn((len(x), 1, 8, 8), generator=rng) * 0.5 * _wide(strength_B)
    return x * (1 + _cells(x, gains)) + 60 * _cells(x, gains)


def warp(x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    """A smooth random displacement: strokes bend and break."""
    coarse = torch.randn((len(x), 2, 5, 5), generator=rng) * 0.16 * _wide(strength_B)
    field = functional.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=True)
    still = functional.affine_grid(torch.eye(2, 3).repeat(len(x), 1, 1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, still + field.permute(0, 2, 3, 1), align_corners=False)


KINDS: tuple[Damage, ...] = (blur, noise, tiling, blocks, tears, fade, holes, ghost, patch_gains, warp)


def damage(kind: int, x: Tensor, strength_B: Tensor, rng: Generator) -> Tensor:
    """Damaged images as a generator would save them: rounded and clipped to [0, 255]."""
    return KINDS[kind](x, strength_B, rng).round().clamp(0, 255)
