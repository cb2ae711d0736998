"""What every data set gives: labels and images of three disjoint splits, at any resolution asked for."""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from rpe2d_bench.resolution import Size

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@runtime_checkable
class Dataset(Protocol):
    """Images with class labels, drawn from the same sources at every resolution.

    The image of (split, index) shows the same thing at every resolution and does not depend on the other
    indices of the call; the splits are disjoint. One whose `threadable` is true (decoders and renderers that let other
    threads run) has its pools drawn on several cores at once.
    """

    @property
    def num_classes(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def revision(self) -> str:
        """Identifies the images: options and version of the renderer, or a hash of a folder's content."""

    def size(self, split: Split) -> int | None:
        """Number of images of a split; None is an unlimited stream."""

    def labels(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Class labels, int64 [B], without rendering anything."""

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        """Images, uint8 [B, channels, height, width]."""


@runtime_checkable
class FileDataset(Protocol):
    """What a data set of files has beside that."""

    def files(self, split: Split, indices: np.ndarray) -> list[str]:
        """Names of the files that images come from."""

    def mirrored(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Whether images are their files' mirrored, bool [B]."""


@runtime_checkable
class DatasetOptions(Protocol):
    """A frozen dataclass whose fields are the options of a data set in YAML."""

    def check(self) -> None:
        """Raises UserError when the options cannot work, without reading the images."""

    def build(self) -> Dataset: ...
