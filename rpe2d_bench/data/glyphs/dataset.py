"""Embedded data without a download: vector glyphs rendered at any resolution, labelled by character.

The image is a function on the plane (short side of the frame = 1, origin in its centre, y downwards). A pixel is
that function times Keys' cubic stretched to the pixel's pitch (resample.py), so every resolution is band-limited
to its own Nyquist rate by the same filter. Frames that are not square keep the glyphs' shape: the scene is fitted
to the short side and stands in the middle of the long side.

Shape suffixes: B batch, K objects, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.data.glyphs.leaves import SMALLEST, leaves
from rpe2d_bench.data.glyphs.outlines import FONTS, masters
from rpe2d_bench.data.glyphs.scenes import EXTENT, Scenes, draw_scenes
from rpe2d_bench.data.glyphs.textures import texture
from rpe2d_bench.data.interface import Split
from rpe2d_bench.data.resample import SUPPORT, box_weights, inner_weights, resample
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.resolution import Size

VERSION = 2  # of the renderer; raise it when a pixel changes

CHARACTERS: dict[str, str] = {"digits": "0123456789", "letters": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

_DARKEST = 0.3  # of a texture inside a glyph; the background's texture is brightest at the same value
_CHUNK = 1 << 20  # numbers in the largest intermediate array


@dataclass(frozen=True)
class GlyphOptions:
    """Options of `data: {name: glyphs}`; the defaults are white digits on black in four styles."""

    classes: Literal["digits", "letters"] = "digits"
    fonts: tuple[str, ...] = ("sans", "sans_bold", "serif", "mono")
    jitter: float = 0.06  # shift of up to this share of the short side, scale of 1 +- this; above 0.1 frames cut
    size_jitter: float = 0.0  # sizes are multiplied by uniform(1 - this, 1)
    objects: int = 1  # one to this many glyphs of the class, disjoint, in quadrants when there are several
    texture: Literal["none", "by_class", "random", "leaves"] = "none"  # inside the glyphs
    background: Literal["black", "textured", "leaves"] = "black"  # leaves: detail at every scale, one field for both
    colour: Literal["white", "random"] = "white"
    channels: Literal[1, 3] = 1
    train_pictures: int = 20_000  # the training split is a fixed pool; the others are unlimited
    seed: int = 0

    def check(self) -> None:
        """Raises UserError for values outside their range and unknown fonts."""
        for font in self.fonts:
            if font not in FONTS:
                raise unknown("font", font, FONTS)
        if not self.fonts or len(set(self.fonts)) != len(self.fonts):
            raise UserError("data.fonts needs at least one font, each named once")
        if not 0 <= self.jitter <= 0.25:
            raise UserError(f"data.jitter must lie between 0 and 0.25, not {self.jitter:g}")
        if not 0 <= self.size_jitter <= 0.8:
            raise UserError(f"data.size_jitter must lie between 0 and 0.8, not {self.size_jitter:g}")
        if not 1 <= self.objects <= 3:
            raise UserError(f"data.objects must be 1, 2 or 3, not {self.objects}")
        if self.objects > 1 and self.jitter > 0.1:
            raise UserError("data.jitter must be at most 0.1 with several objects, or they would touch")
        if self.colour == "random" and self.channels != 3:
            raise UserError("data.colour: random needs data.channels: 3")
        if self.train_pictures < 1:
            raise UserError(f"data.train_pictures must be at least 1, not {self.train_pictures}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"data.seed must lie between 0 and 2**31 - 1, not {self.seed}")

    def build(self) -> Glyphs:
        return Glyphs(self)


class Glyphs:
    """Rendered glyphs; the label of image i is i modulo the number of classes, so labels are balanced.

    Fonts, shifts, sizes and the rest are independent uniform draws from (seed, split, index). The splits are disjoint
    streams of draws.
    """

    def __init__(self, options: GlyphOptions) -> None:
        options.check()
        self.options = options
        self._characters = CHARACTERS[options.classes]
        self.class_names = tuple(self._characters)
        self.num_classes = len(self._characters)
        self.channels: int = options.channels
        self._leaves = "leaves" in (options.texture, options.background)

    @cached_property
    def revision(self) -> str:
        text = json.dumps(asdict(self.options), sort_keys=True)
        return f"glyphs-v{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def size(self, split: Split) -> int | None:
        """The training pool's size; None (unlimited) for the other splits."""
        return self.options.train_pictures if split == "train" else None

    def labels(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Class labels, int64 [B]: index modulo classes."""
        return np.asarray(indices, dtype=np.int64) % self.num_classes

    def objects(self, split: Split, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of objects, int64 [B], and their longer extents over the short side, float32 [B, K], absent = 0."""
        scenes = self.scenes(split, indices)
        return scenes.count_B.numpy(), scenes.size_BK.numpy()

    def scenes(self, split: Split, indices: np.ndarray) -> Scenes:
        """What each image shows, a function of (seed, split, index) alone."""
        return draw_scenes(self.options, split, np.asarray(indices, dtype=np.int64), self.labels(split, indices))

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        """Rendered images, uint8 [B, channels, height, width]."""
        return self.render(self.scenes(split, indices), resolution)

    def render(self, scenes: Scenes, resolution: Size) -> np.ndarray:
        """Images of the scenes, uint8 [B, channels, height, width], rounded and clipped to [0, 255]."""
        height, width = resolution
        if height < 1 or width < 1:
            raise UserError(f"a resolution needs at least one pixel per axis, not {height}x{width}")
        image = np.empty((len(scenes.labels_B), self.channels, height, width), dtype=np.uint8)
        layered = self.options.texture != "none" or self.options.background != "black"
        for start, stop in self._chunks(len(image), resolution, layered):
            part = scenes.part(start, stop)
            drawn = self._layered(part, resolution) if layered else self._flat(part, resolution)
            image[start:stop] = drawn.mul_(255).round_().clamp_(0, 255).to(torch.uint8).numpy()
        return image

    def _flat(self, scenes: Scenes, resolution: Size) -> Tensor:
        """Uniform disjoint glyphs on black: linear in the coverage, so one filter is exact."""
        alpha_BHW = self._alpha(scenes, *_frame(resolution), pitch=1 / min(resolution))
        return alpha_BHW[:, None] * scenes.colour_BC[:, :, None, None]

    def _layered(self, scenes: Scenes, resolution: Size) -> Tensor:
        """Textures: composed on a finer grid with a margin for the filter, then filtered down."""
        o, margin, fine = self.options, int(SUPPORT), _supersampling(resolution, self._leaves)
        pitch = 1 / (min(resolution) * fine)
        y, x = (_axis((n + 2 * margin) * fine, pitch) for n in resolution)
        alpha = self._alpha(scenes, y, x, pitch).clamp_(0, 1)[:, None]
        fallen = leaves(scenes.leaves_B, y, x)[:, None] if self._leaves else torch.zeros(1, 1, 1, 1)
        glyph = torch.ones(1, 1, 1, 1)
        if o.texture != "none":
            inside = texture(scenes.texture_B, scenes.phase_B, y, x)[:, None] if o.texture != "leaves" else fallen
            glyph = _DARKEST + (1 - _DARKEST) * inside
        glyph = glyph * scenes.colour_BC[:, :, None, None]
        ground = torch.zeros(1, 1, 1, 1)
        if o.background == "textured":
            ground = _DARKEST * texture(scenes.back_texture_B, scenes.back_phase_B, y, x)[:, None]
        elif o.background == "leaves":
            ground = _DARKEST * fallen
        rows, columns = (inner_weights(pixels, margin, fine) for pixels in resolution)
        return resample(ground + alpha * (glyph - ground), rows, columns)

    def _alpha(self, scenes: Scenes, y_H: Tensor, x_W: Tensor, pitch: float) -> Tensor:
        """Share of each pixel that the objects cover, filtered to the pitch; float32 [B, H, W]."""
        total = torch.zeros(len(scenes.count_B), len(y_H), len(x_W))
        for several in (False, True):
            side = _master_side(pitch * (2 if several else 1))  # one of several objects is half as large
            masks = masters(self._characters, self.options.fonts, side)
            for k in range(scenes.size_BK.shape[1] if several else 1):
                here = ((scenes.count_B > k) & ((scenes.count_B > 1) == several)).nonzero()[:, 0]
                size_B = scenes.size_BK[here, k]
                rows, columns = (
                    box_weights(at[None, :], pitch, middle_BK[here, k] - size_B / 2, size_B / side, side)
                    for at, middle_BK in ((y_H, scenes.y_BK), (x_W, scenes.x_BK))
                )
                mask_BII = masks[scenes.labels_B[here], scenes.font_B[here]].float().div_(255)
                total[here] += rows @ mask_BII @ columns.transpose(1, 2)
        return total

    def _chunks(self, count: int, resolution: Size, layered: bool) -> Iterator[tuple[int, int]]:
        fine = _supersampling(resolution, self._leaves) if layered else 1
        longest, side = (max(resolution) + 4) * fine, _master_side(1 / (min(resolution) * fine))
        step = max(1, _CHUNK // (max(longest, side) * max(longest, side)))
        for start in range(0, count, step):
            yield start, min(start + step, count)


def _axis(count: int, pitch: float) -> Tensor:
    """Centres of the pixels of one axis."""
    return (torch.arange(count) + 0.5 - count / 2) * pitch


def _frame(resolution: Size) -> tuple[Tensor, Tensor]:
    return _axis(resolution[0], 1 / min(resolution)), _axis(resolution[1], 1 / min(resolution))


def _supersampling(resolution: Size, leaves: bool = False) -> int:
    """Of scenes in which layers are multiplied, because a product has more bandwidth than its factors.

    With n pixels on the short side and k samples in each, a glyph's edges reach k n / 2 cycles, a texture 10.3: what
    their product folds back must stay above the image's n / 2, so (k - 1) n / 2 >= 10.3.
    """
    if leaves:  # a sample for each of the smallest leaves at least
        samples: int = math.ceil(1 / (min(resolution) * SMALLEST))
        return max(2, samples)
    return 2 if min(resolution) >= 21 else 4


def _master_side(pitch: float) -> int:
    """Cells of the coverage masks along an axis, at most 512: four for each output pixel that a glyph fills.

    Pixels are then within 4 of 255 grey levels (0.1 on average) of what infinitely fine masks give.
    """
    return next((side for side in (64, 128, 256) if side * pitch >= 4 * EXTENT), 512)
