"""From an emoji's vectors to pixels: resvg draws finer than asked for, the data's one filter makes the pixels.

Shape suffixes: C channels, H height, W width.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from PIL import Image

from rpe2d_bench.data.emoji.packed import Emoji
from rpe2d_bench.data.resample import SUPPORT, inner_weights, resample
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

RESVG, PACKAGE = "0.48.1", "resvg-py==0.5.0"  # whose pixels a revision stands for, and the package that brings it
_INSTALL = "pip install 'rpe2d-bench[emoji]'"
FINE = 3  # drawn pixels for each pixel of the result, along an axis: 0.2 grey levels on average from 12 (at 64 px)
EXTENT = 0.8  # of the short side, that an emoji's longer side fills before jitter

# hueRotate of SVG (Filter Effects Module Level 1, section 9.6): what it keeps, its cosine's and its sine's part
_LUMA = np.array([[0.213, 0.715, 0.072]] * 3)
_SINE = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])


@dataclass(frozen=True)
class View:
    """How an emoji is shown; lengths in units of the short side of the frame, whose centre is the origin."""

    extent: float  # of the emoji's longer side
    y: float
    x: float
    mirrored: bool
    hue: float  # turn of all colours, radians
    ground: tuple[int, int, int]  # before the turn


def draw(emoji: Emoji, view: View, resolution: Size) -> np.ndarray:
    """The image, uint8 [3, height, width]; every resolution shows the same plane, so larger ones show more detail."""
    resvg, margin = _resvg(), int(SUPPORT)
    high, wide = ((pixels + 2 * margin) * FINE for pixels in resolution)
    side = max(emoji.width, emoji.height) / view.extent  # of the frame, in the emoji's units
    unit = side / (min(resolution) * FINE)  # of a drawn pixel
    left = emoji.width / 2 - view.x * side - wide * unit / 2
    top = emoji.height / 2 - view.y * side - high * unit / 2
    mirror = f' transform="matrix(-1 0 0 1 {emoji.width:g} 0)"' if view.mirrored else ""
    drawn = resvg.svg_to_bytes(
        svg_string='<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left:.9g} {top:.9g} {wide * unit:.9g} {high * unit:.9g}" width="{wide}" height="{high}" '
        f'preserveAspectRatio="none"><g{mirror}>{emoji.body}</g></svg>',
        background="#{:02x}{:02x}{:02x}".format(*view.ground),
        skip_system_fonts=True,
    )
    with Image.open(io.BytesIO(drawn)) as image:
        fine_HWC = np.asarray(image.convert("RGB"), dtype=np.float32)
    turned_HWC = torch.from_numpy((fine_HWC @ _hue_turn(view.hue).T).clip(0, 255))
    rows, columns = (inner_weights(pixels, margin, FINE) for pixels in resolution)
    image_CHW = resample(turned_HWC.permute(2, 0, 1)[None], rows, columns)[0]
    return image_CHW.round_().clamp_(0, 255).to(torch.uint8).numpy()


def _hue_turn(angle: float) -> np.ndarray:
    """A matrix on RGB that turns the hue and keeps greys and luma (before clipping), float32 [3, 3]."""
    turn: np.ndarray = _LUMA + math.cos(angle) * (np.eye(3) - _LUMA) + math.sin(angle) * _SINE
    return turn.astype(np.float32)


def _resvg() -> ModuleType:
    """The renderer. Raises UserError where it is missing, or another version, whose pixels may differ."""
    try:
        import resvg_py
    except ImportError as error:
        raise UserError(f"data: emoji are drawn by {PACKAGE}, which is not installed; write: {_INSTALL}") from error
    if resvg_py.__resvg_version__ != RESVG:
        found = resvg_py.__resvg_version__
        raise UserError(f"data: emoji are drawn by resvg {RESVG}, but resvg {found} is installed; write: {_INSTALL}")
    return resvg_py
