"""Batches for training: memory-mapped images, cropped without a loop over images.

Shape suffixes: B batch, C channels, H height, W width, N images of the training pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.data.crops import DRAWS, CropOptions, ResizeAndCrop, window
from rpe2d_bench.data.device_pool import placed, rows
from rpe2d_bench.data.image_pool import Between, cached_images
from rpe2d_bench.data.interface import Dataset
from rpe2d_bench.data.resample import resample, window_weights
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size


class TrainingImages:
    """The training pool at one resolution, decoded once, with random crops.

    A batch is drawn with replacement. The generator is the only source of randomness, and every kind of crops takes
    the same number of draws from it, so that runs that differ in their crops see the same images in the same order.
    """

    def __init__(
        self,
        dataset: Dataset,
        resolution: Size,
        crops: CropOptions,
        *,
        cache_dir: Path | str,
        num_pictures: int | None = None,
        device: torch.device | str = "cpu",
        between: Between | None = None,
    ) -> None:
        """Renders or opens the pool.

        num_pictures: the first so many images of the training split; by default the whole split.
        device: where batches are made; on an accelerator the pool lies in its memory if it is not too large for that.
        between: called after each part of the rendering; may interrupt it.
        """
        num_pictures = pool_size(dataset, num_pictures)
        self.resolution = resolution
        self.crops = crops
        self.device = torch.device(device)
        pool = cached_images(dataset, "train", num_pictures, resolution, cache_dir, between)
        self.images_NCHW = rows(torch.from_numpy(pool), None, self.device)
        self.labels_N = torch.from_numpy(dataset.labels("train", np.arange(num_pictures))).to(self.device)
        self._source_NCHW = self.images_NCHW
        if isinstance(crops, ResizeAndCrop) and crops.source == "native":
            frame = crops.frame(resolution)
            source = cached_images(dataset, "train", num_pictures, frame, cache_dir, between)
            self._source_NCHW = rows(torch.from_numpy(source), None, self.device)

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """x_BCHW float32 in [-1, 1], labels_B int64, crop_B3 float32; rng is a generator of the CPU."""
        u_BD = torch.rand(batch_size, 1 + DRAWS, generator=rng, dtype=torch.float64)
        chosen_B = (u_BD[:, 0] * len(self)).long().clamp_(max=len(self) - 1)
        crop_B3 = self.crops.draw(u_BD[:, 1:])
        x_BCHW = self._take(self.images_NCHW, chosen_B)
        cropped = (crop_B3[:, 0] > 0).nonzero()[:, 0]
        if len(cropped):
            window_BCHW = crop(self._take(self._source_NCHW, chosen_B[cropped]), crop_B3[cropped], self.resolution)
            x_BCHW[placed(cropped, self.device)] = window_BCHW
        labels_B, crop_B3 = self.labels_N[placed(chosen_B, self.device)], placed(crop_B3, self.device)
        return x_BCHW.div_(127.5).sub_(1), labels_B, crop_B3

    def _take(self, images_NCHW: Tensor, chosen_B: Tensor) -> Tensor:
        return rows(images_NCHW, chosen_B, self.device).float()


def pool_size(dataset: Dataset, num_pictures: int | None) -> int:
    """Images of the training pool: so many, or all there are. Raises UserError where that cannot be."""
    size = dataset.size("train")
    if num_pictures is None:
        if size is None:
            raise UserError("the training split has no end: give the number of training images")
        return size
    if size is not None and num_pictures > size:
        raise UserError(f"the training split has {size} images, fewer than the {num_pictures} asked for")
    return num_pictures


class Pool(Protocol):
    """TrainingImages and whatever stands in for it."""

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]: ...


class MixedImages:
    """Batches of several resolutions: one of them a batch, in fixed shares of the steps."""

    def __init__(self, main: Pool, others: list[tuple[Pool, float]]) -> None:
        self._pools = [main, *(images for images, _ in others)]
        shares = torch.tensor([share for _, share in others], dtype=torch.float64)
        self._ends = torch.cat((1 - shares.sum().view(1), shares)).cumsum(0)

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """As TrainingImages.batch, of the resolution that rng draws."""
        drawn = int(torch.searchsorted(self._ends, torch.rand(1, generator=rng, dtype=torch.float64), right=True))
        return self._pools[min(drawn, len(self._pools) - 1)].batch(rng, batch_size)


def crop(images_BCHW: Tensor, crop_B3: Tensor, resolution: Size) -> Tensor:
    """The windows of float images in [0, 255], resized to the resolution and rounded as uint8 would; [B, C, H, W]."""
    inputs = images_BCHW.shape[-2:]
    crop_B3 = placed(crop_B3, images_BCHW.device)
    rows, columns = (
        window_weights(*window(crop_B3, axis, inputs[axis]), inputs[axis], resolution[axis]) for axis in (0, 1)
    )
    return resample(images_BCHW, rows, columns).round_().clamp_(0, 255)
