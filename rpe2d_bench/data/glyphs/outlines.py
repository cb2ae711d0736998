"""Glyph outlines of the fonts that matplotlib ships, rasterised once as fine coverage masks.

matplotlib is imported lazily: its fonts are the only thing used.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FONTS: dict[str, str] = {
    "sans": "DejaVuSans.ttf",
    "sans_bold": "DejaVuSans-Bold.ttf",
    "sans_oblique": "DejaVuSans-Oblique.ttf",
    "serif": "DejaVuSerif.ttf",
    "serif_bold": "DejaVuSerif-Bold.ttf",
    "serif_italic": "DejaVuSerif-Italic.ttf",
    "mono": "DejaVuSansMono.ttf",
    "mono_bold": "DejaVuSansMono-Bold.ttf",
    "stix": "STIXGeneral.ttf",
    "computer_modern": "cmr10.ttf",
}

_OUTLINE_SIZE = 2000.0  # curves are flattened to about one unit, so to 1/2000 of the glyph
_LINES_PER_ROW = 8  # scan lines per row of the mask; along the lines coverage is exact


def polygons(character: str, font: str) -> list[np.ndarray]:
    """Closed outlines [V, 2] of (x, y), y downwards, in a box of side 1 centred on 0 that the longer extent fills."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONTS[font]
    outline = TextPath((0, 0), character, size=_OUTLINE_SIZE, prop=FontProperties(fname=str(path)))
    closed = [np.asarray(p, dtype=np.float64) for p in outline.to_polygons(closed_only=True)]
    points = np.concatenate(closed)
    low, high = points.min(0), points.max(0)
    flip = np.array([1.0, -1.0])
    return [(p - (low + high) / 2) * flip / (high - low).max() for p in closed]


def coverage(outlines: list[np.ndarray], side: int) -> np.ndarray:
    """Covered share of each cell, float32 [side, side], of the box of side 1 centred on 0.

    Outlines turn one way and holes the other, so the winding number is a signed sum over edges: an edge that
    crosses a scan line at x adds +-1 to everything right of x.
    """
    starts = np.concatenate([p[:-1] for p in outlines]) * side + side / 2
    ends = np.concatenate([p[1:] for p in outlines]) * side + side / 2
    lines = (np.arange(side * _LINES_PER_ROW) + 0.5) / _LINES_PER_ROW
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    edge, line = np.nonzero((low[:, None] <= lines) & (lines < high[:, None]))
    run, rise = (ends - starts)[edge].T
    x = starts[edge, 0] + (lines[line] - starts[edge, 1]) * run / rise
    column = np.clip(np.floor(x), 0, side - 1).astype(np.int64)
    inside = np.clip(column + 1 - x, 0.0, 1.0)
    steps = np.zeros((side, side + 1))
    np.add.at(steps, (line // _LINES_PER_ROW, column), np.sign(rise) * inside / _LINES_PER_ROW)
    np.add.at(steps, (line // _LINES_PER_ROW, column + 1), np.sign(rise) * (1 - inside) / _LINES_PER_ROW)
    winding = np.cumsum(steps, 1)[:, :side]
    return np.clip(np.abs(winding), 0.0, 1.0).astype(np.float32)


@lru_cache(maxsize=8)
def masters(characters: str, fonts: tuple[str, ...], side: int) -> Tensor:
    """Coverage masks, uint8 [characters, fonts, side, side], 255 = covered; shared between callers."""
    masks = np.stack([np.stack([coverage(polygons(c, f), side) for f in fonts]) for c in characters])
    return torch.from_numpy(np.rint(masks * 255).astype(np.uint8))
