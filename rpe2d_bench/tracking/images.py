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
    image = Image.fromarray(images_file.grid(images_NCHW, COLUMNS))
    return image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
