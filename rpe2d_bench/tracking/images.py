"""A strip of samples as one picture for the UI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rpe2d_bench.records import Record

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, ROWS = 10, 2
SIDE = 64  # pixels; smaller pictures are enlarged by whole factors


def strip(record: Record, store: Path) -> Image | None:
    """The first pictures of a cell, the same indices for every method; None where there are none to be read."""
    import numpy as np
    from PIL import Image

    from rpe2d_bench import samples_file

    path = record.artifacts.get("samples")
    if path is None:
        return None
    try:
        pictures_NCHW = samples_file.first(store / path, COLUMNS * ROWS)
    except samples_file.UNREADABLE:
        return None
    if pictures_NCHW.ndim != 4 or not len(pictures_NCHW):
        return None
    *_, height, width = pictures_NCHW.shape
    enlarge = max(1, SIDE // max(height, width))
    rows = -(-len(pictures_NCHW) // COLUMNS)
    canvas_HWC = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1, 3), 128, np.uint8)
    for index, picture_CHW in enumerate(pictures_NCHW):
        top, left = index // COLUMNS * (height + 1), index % COLUMNS * (width + 1)
        canvas_HWC[top : top + height, left : left + width] = np.broadcast_to(
            picture_CHW.transpose(1, 2, 0), (height, width, 3)
        )
    image = Image.fromarray(canvas_HWC)
    return image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
