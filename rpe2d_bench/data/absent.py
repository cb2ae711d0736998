"""A folder of images that is not there yet: its counts, so that `plan` can say what an experiment will cost."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from rpe2d_bench.data.interface import Split
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

ABSENT = "image_folder-absent"  # the revision; no stage can be made of it


class AbsentFolder:
    """Counts as a data set; asking it for an image or a label is a UserError that names the folder."""

    revision = ABSENT

    def __init__(self, path: str, channels: int, classes: int, sizes: dict[Split, int]) -> None:
        self._path, self._sizes = path, sizes
        self.channels, self.num_classes = channels, classes
        self.class_names = tuple(f"class {number:04d}" for number in range(classes))

    @property
    def summary(self) -> str:
        """What is known of it."""
        return (
            f"{self._path} is not there yet; as announced "
            f"{self.num_classes:,} classes: {', '.join(f'{split} {size:,}' for split, size in self._sizes.items())}"
        )

    def size(self, split: Split) -> int:
        return self._sizes[split]

    def labels(self, split: Split, indices: np.ndarray) -> NoReturn:
        raise absent(self._path)

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> NoReturn:
        raise absent(self._path)


def absent(path: str) -> UserError:
    return UserError(f"data.path: {path} does not exist; give a folder, a zip, .tar or .parquet files of images")
