"""Images side by side as one: used wherever a command or MLflow shows several."""

from __future__ import annotations

import numpy as np
import pytest

from rpe2d_bench.storage.images_file import grid


@pytest.mark.parametrize("channels", [1, 3])
def test_images_lie_row_by_row_one_grey_pixel_apart(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, channels, 2, 3), dtype=np.uint8)
    made = grid(images, 3)
    assert made.shape == (2 * 3 - 1, 3 * 4 - 1, 3)
    for number, image in enumerate(images):
        top, left = 3 * (number // 3), 4 * (number % 3)
        assert (made[top : top + 2, left : left + 3] == image.transpose(1, 2, 0)).all()
    assert (made[2] == 128).all()
    assert (made[:, 3] == 128).all()
    assert (made[3:, 8:] == 128).all()  # the place of a sixth
    assert grid(images[:2], 10).shape == (2, 7, 3)
