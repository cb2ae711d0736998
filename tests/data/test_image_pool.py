"""Pools: what is drawn on several cores is what one core draws, in the same order."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from rpe2d_bench.data.image_pool import cached_images
from rpe2d_bench.data.interface import Split
from rpe2d_bench.resolution import Size


class Numbered:
    """Image i is filled with i; notes which threads drew."""

    num_classes, class_names, channels, revision = 1, ("all",), 1, "numbered"

    def __init__(self, threadable: bool) -> None:
        self.threadable = threadable
        self.drew: set[int] = set()
        self._together = threading.Barrier(2)

    def size(self, split: Split) -> int:
        return 200

    def labels(self, split: Split, indices: np.ndarray) -> np.ndarray:
        return np.zeros(len(indices), dtype=np.int64)

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        if self.threadable and threading.get_ident() not in self.drew:
            self._together.wait(timeout=30)  # two threads are here at once, or this fails
        self.drew.add(threading.get_ident())
        return np.broadcast_to(indices[:, None, None, None], (len(indices), 1, *resolution)).astype(np.uint8)


@pytest.mark.parametrize("threadable", [True, False])
def test_a_pool_is_in_order_whoever_drew_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threadable: bool) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    dataset = Numbered(threadable)
    images = cached_images(dataset, "train", 200, (2, 3), tmp_path)
    assert (images[:, 0, 1, 2] == np.arange(200)).all()
    assert (len(dataset.drew) == 2) is threadable
    assert (threading.get_ident() in dataset.drew) is not threadable
