"""Batches for training: memory-mapped pictures, cropped without a loop over pictures.

Shape suffixes: B batch, C channels, H height, W width, N pictures of the training pool.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.data.cache import cached_pictures
from rpe2d_bench.data.crops import DRAWS, CropOptions, ResizeAndCrop, window
from rpe2d_bench.data.interface import Dataset, Resolution
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
    ) -> None:
        """Renders or opens the pool.

        num_pictures: the first so many pictures of the training split; by default the whole split.
        native_resolution: of the pictures that crops are cut from (source: native); by default the train resolution
        times max_zoom, so that the smallest window still has a pixel for each pixel of the result.
        device: where batches are made; on an accelerator the pool lies in its memory.
        """
        size = dataset.size("train")
        if num_pictures is None:
            if size is None:
                raise UserError("the training split has no end: give the number of training pictures")
            num_pictures = size
        if size is not None and num_pictures > size:
            raise UserError(f"the training split has {size} pictures, fewer than the {num_pictures} asked for")
        self.resolution = resolution
        self.crops = crops
        self.device = torch.device(device)
        pool = cached_pictures(dataset, "train", num_pictures, resolution, cache_dir)
        self.pictures_NCHW = torch.from_numpy(pool).to(self.device)
        self.labels_N = torch.from_numpy(dataset.labels("train", np.arange(num_pictures))).to(self.device)
        self._source_NCHW = self.pictures_NCHW
        if isinstance(crops, ResizeAndCrop) and crops.source == "native":
            native = native_resolution or (round(resolution[0] * crops.max_zoom), round(resolution[1] * crops.max_zoom))
            source = cached_pictures(dataset, "train", num_pictures, native, cache_dir)
            self._source_NCHW = torch.from_numpy(source).to(self.device)

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
            x_BCHW[self._on_device(cropped)] = window_BCHW
        return x_BCHW.div_(127.5).sub_(1), self.labels_N[self._on_device(chosen_B)], self._on_device(crop_B3)

    def _take(self, pictures_NCHW: Tensor, chosen_B: Tensor) -> Tensor:
        return pictures_NCHW[self._on_device(chosen_B)].float()

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)


def crop(pictures_BCHW: Tensor, crop_B3: Tensor, resolution: Resolution) -> Tensor:
    """The windows of float pictures in [0, 255], resized to the resolution and rounded as uint8 would; [B, C, H, W]."""
    inputs = pictures_BCHW.shape[-2:]
    crop_B3 = crop_B3.to(pictures_BCHW.device, non_blocking=True)
    rows, columns = (
        window_weights(*window(crop_B3, axis, inputs[axis]), inputs[axis], resolution[axis]) for axis in (0, 1)
    )
    return resample(pictures_BCHW, rows, columns).round_().clamp_(0, 255)
