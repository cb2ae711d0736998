"""Batches for training: memory-mapped pictures, cropped without a loop over pictures.

Shape suffixes: B batch, C channels, H height, W width, N pictures of the training pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.data.cache import Between, cached_pictures
from rpe2d_bench.data.crops import DRAWS, CropOptions, ResizeAndCrop, window
from rpe2d_bench.data.interface import Dataset, Resolution
from rpe2d_bench.data.placing import placed, rows
from rpe2d_bench.data.resample import resample, window_weights
from rpe2d_bench.errors import UserError


class TrainingPictures:
    """The training pool at one resolution, decoded once, with random crops.

    A batch is drawn with replacement. The generator is the only source of randomness, and every kind of crops takes
    the same number of draws from it, so that runs that differ in their crops see the same pictures in the same order.
    """

    def __init__(
        self,
        dataset: Dataset,
        resolution: Resolution,
        crops: CropOptions,
        *,
        cache_dir: Path | str,
        num_pictures: int | None = None,
        native_resolution: Resolution | None = None,
        device: torch.device | str = "cpu",
        between: Between | None = None,
    ) -> None:
        """Renders or opens the pool.

        num_pictures: the first so many pictures of the training split; by default the whole split.
        native_resolution: of the pictures that crops are cut from (source: native); by default the train resolution
        times max_zoom, so that the smallest window still has a pixel for each pixel of the result.
        device: where batches are made; on an accelerator the pool lies in its memory if it is not too large for that.
        between: called after each part of the rendering; may interrupt it.
        """
        num_pictures = pool_size(dataset, num_pictures)
        self.resolution = resolution
        self.crops = crops
        self.device = torch.device(device)
        pool = cached_pictures(dataset, "train", num_pictures, resolution, cache_dir, between)
        self.pictures_NCHW = rows(torch.from_numpy(pool), None, self.device)
        self.labels_N = torch.from_numpy(dataset.labels("train", np.arange(num_pictures))).to(self.device)
        self._source_NCHW = self.pictures_NCHW
        if isinstance(crops, ResizeAndCrop) and crops.source == "native":
            native = native_resolution or (round(resolution[0] * crops.max_zoom), round(resolution[1] * crops.max_zoom))
            source = cached_pictures(dataset, "train", num_pictures, native, cache_dir, between)
            self._source_NCHW = rows(torch.from_numpy(source), None, self.device)

    def __len__(self) -> int:
        return len(self.pictures_NCHW)

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """x_BCHW float32 in [-1, 1], labels_B int64, crop_B3 float32; rng is a generator of the CPU."""
        u_BD = torch.rand(batch_size, 1 + DRAWS, generator=rng, dtype=torch.float64)
        chosen_B = (u_BD[:, 0] * len(self)).long().clamp_(max=len(self) - 1)
        crop_B3 = self.crops.draw(u_BD[:, 1:])
        x_BCHW = self._take(self.pictures_NCHW, chosen_B)
        cropped = (crop_B3[:, 0] > 0).nonzero()[:, 0]
        if len(cropped):
            window_BCHW = crop(self._take(self._source_NCHW, chosen_B[cropped]), crop_B3[cropped], self.resolution)
            x_BCHW[placed(cropped, self.device)] = window_BCHW
        labels_B, crop_B3 = self.labels_N[placed(chosen_B, self.device)], placed(crop_B3, self.device)
        return x_BCHW.div_(127.5).sub_(1), labels_B, crop_B3

    def _take(self, pictures_NCHW: Tensor, chosen_B: Tensor) -> Tensor:
        return rows(pictures_NCHW, chosen_B, self.device).float()


def pool_size(dataset: Dataset, num_pictures: int | None) -> int:
    """Pictures of the training pool: so many, or all there are. Raises UserError where that cannot be."""
    size = dataset.size("train")
    if num_pictures is None:
        if size is None:
            raise UserError("the training split has no end: give the number of training pictures")
        return size
    if size is not None and num_pictures > size:
        raise UserError(f"the training split has {size} pictures, fewer than the {num_pictures} asked for")
    return num_pictures


class Pool(Protocol):
    """TrainingPictures and whatever stands in for it."""

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]: ...


class MixedPictures:
    """Batches of several resolutions: one of them a batch, in fixed shares of the steps."""

    def __init__(self, main: Pool, others: list[tuple[Pool, float]]) -> None:
        self._pools = [main, *(pictures for pictures, _ in others)]
        shares = torch.tensor([share for _, share in others], dtype=torch.float64)
        self._ends = torch.cat((1 - shares.sum().view(1), shares)).cumsum(0)

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """As TrainingPictures.batch, of the resolution that rng draws."""
        drawn = int(torch.searchsorted(self._ends, torch.rand(1, generator=rng, dtype=torch.float64), right=True))
        return self._pools[min(drawn, len(self._pools) - 1)].batch(rng, batch_size)


def crop(pictures_BCHW: Tensor, crop_B3: Tensor, resolution: Resolution) -> Tensor:
    """The windows of float pictures in [0, 255], resized to the resolution and rounded as uint8 would; [B, C, H, W]."""
    inputs = pictures_BCHW.shape[-2:]
    crop_B3 = placed(crop_B3, pictures_BCHW.device)
    rows, columns = (
        window_weights(*window(crop_B3, axis, inputs[axis]), inputs[axis], resolution[axis]) for axis in (0, 1)
    )
    return resample(pictures_BCHW, rows, columns).round_().clamp_(0, 255)
