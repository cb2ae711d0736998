"""What a rendered image shows: numbers drawn from (seed, split, index), before any pixel.

Shape suffixes: B batch, K objects, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.data.counter_rng import numbers, streams
from rpe2d_bench.data.glyphs.textures import TEXTURES
from rpe2d_bench.data.interface import Split

if TYPE_CHECKING:
    from rpe2d_bench.data.glyphs.dataset import GlyphOptions

EXTENT = 0.72  # of the short side, that a single glyph's longer extent fills before jitter
_QUADRANTS = torch.tensor([[-0.25, -0.25], [-0.25, 0.25], [0.25, -0.25], [0.25, 0.25]])  # two or three objects

# slots of the random numbers of an image
_FONT, _COUNT, _TEXTURE, _BACK_TEXTURE, _PHASE, _BACK_PHASE = range(6)
_LEAVES = 2**31  # further than the largest seed: numbers of their own
_QUADRANT, _COLOUR, _OBJECTS, _SLOTS = 6, 10, 13, 13 + 4 * 3


@dataclass(frozen=True)
class Scenes:
    """What the images show; lengths in units of the short side. Objects that are absent have size 0."""

    labels_B: Tensor
    font_B: Tensor
    count_B: Tensor
    size_BK: Tensor  # longer extent of each object
    y_BK: Tensor
    x_BK: Tensor
    texture_B: Tensor
    back_texture_B: Tensor
    phase_B: Tensor
    back_phase_B: Tensor
    colour_BC: Tensor
    leaves_B: Tensor  # addresses the leaves' numbers

    def part(self, start: int, stop: int) -> Scenes:
        return Scenes(**{name: getattr(self, name)[start:stop] for name in self.__dataclass_fields__})


def draw_scenes(options: GlyphOptions, split: Split, indices: np.ndarray, labels_B: np.ndarray) -> Scenes:
    """Scenes of the indices (int64 [B]); everything but the label is an independent uniform draw."""
    o, of_images = options, streams(options.seed, split, indices)
    u = torch.from_numpy(numbers(of_images, _SLOTS)).float().clamp_(max=1 - 2**-24)  # float32 may round to 1
    labels = torch.from_numpy(labels_B)
    count = 1 + (u[:, _COUNT] * o.objects).long()
    K = o.objects
    dy, dx, scale, shrink = u[:, _OBJECTS : _OBJECTS + 4 * K].view(-1, K, 4).unbind(-1)
    single_B1 = (count == 1)[:, None]
    room_B1 = torch.where(single_B1, 1.0, 0.5)  # side of the square that an object has for itself
    middle_BK2 = _QUADRANTS[u[:, _QUADRANT : _QUADRANT + 4].argsort(1)[:, :K]]
    middle_BK2 = torch.where(single_B1[..., None], 0.0, middle_BK2)
    present = torch.arange(K) < count[:, None]
    size = EXTENT * room_B1 * (1 + o.jitter * (2 * scale - 1)) * (1 - o.size_jitter * shrink)
    drawn = (u[:, _TEXTURE] * TEXTURES).long()
    colour = 0.5 + 0.5 * u[:, _COLOUR : _COLOUR + o.channels] if o.colour == "random" else None
    return Scenes(
        labels_B=labels,
        font_B=(u[:, _FONT] * len(o.fonts)).long(),
        count_B=count,
        size_BK=torch.where(present, size, 0.0),
        y_BK=middle_BK2[..., 0] + room_B1 * o.jitter * (2 * dy - 1),
        x_BK=middle_BK2[..., 1] + room_B1 * o.jitter * (2 * dx - 1),
        texture_B=labels % TEXTURES if o.texture == "by_class" else drawn,
        back_texture_B=(u[:, _BACK_TEXTURE] * TEXTURES).long(),
        phase_B=u[:, _PHASE],
        back_phase_B=u[:, _BACK_PHASE],
        colour_BC=torch.ones(len(indices), o.channels) if colour is None else colour,
        leaves_B=torch.from_numpy(streams(o.seed + _LEAVES, split, indices).view(np.int64)),
    )
