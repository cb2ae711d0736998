"""A strip of samples as one image for the UI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rpe2d_bench.storage.records import Record

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, ROWS = 10, 2
SIDE = 64  # pixels; smaller images are enlarged by whole factors


def strip(record: Record, store: Path) -> Image | None:
    """The first images of a cell, the same indices for every method; None where there are none to be read."""
    import numpy as np
    from PIL import Image

    from rpe2d_bench.storage import images_file

    path = record.artifacts.samples
    if path is None:
        return None
    try:
        images_NCHW = images_file.first(store / path, COLUMNS * ROWS)
    except images_file.UNREADABLE:
        return None
    if images_NCHW.ndim != 4 or not len(images_NCHW):
        return None
    *_, height, width = images_NCHW.shape
    enlarge = max(1, SIDE // max(height, width))
    rows = -(-len(images_NCHW) // COLUMNS)
    canvas_HWC = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1, 3), 128, np.uint8)
    for index, image_CHW in enumerate(images_NCHW):
        top, left = index // COLUMNS * (height + 1), index % COLUMNS * (width + 1)
        canvas_HWC[top : top + height, left : left + width] = np.broadcast_to(
            image_CHW.transpose(1, 2, 0), (height, width, 3)
        )
    image = Image.fromarray(canvas_HWC)
    return image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
