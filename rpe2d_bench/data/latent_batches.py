"""Batches for training in a latent space: the pool is encoded once, complete images and some random crops of each.

Windows are cut from pixels and then encoded, as an image of that size would be. Encoding anew for every batch would
cost more than the training itself, so each image has a fixed number of windows: a training sees no others, however
long it lasts.

Shape suffixes: B batch, C channels, H height, W width, N images, S stored channels (latents, or mean and deviation),
h w cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.data.counter_rng import uniform
from rpe2d_bench.data.crops import DRAWS, CropOptions, NoCrops, ResizeAndCrop
from rpe2d_bench.data.device_pool import placed, rows
from rpe2d_bench.data.image_batches import crop, pool_size
from rpe2d_bench.data.image_pool import Between, cached_array, drawn
from rpe2d_bench.data.interface import Dataset, FileDataset
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

_VERSION = 1
CHECKED = 8  # images whose ready latents are held against the autoencoder
APART = 0.5  # relative error from which they are of something else; other resizing of the same images makes 0.1 to 0.3
_CHUNK = 256  # latents between two places where an interrupted encoding continues


@dataclass(frozen=True)
class Encoder:
    """uint8 images [B, C, H, W] -> float16 [B, S, h, w], and what its results depend on."""

    encode: Callable[[np.ndarray], np.ndarray]
    revision: str
    downsampling: int
    channels: int  # of latents; S is this or twice this
    stored: int  # S
    windows: int  # random crops of each image
    ready: Callable[[Sequence[str], np.ndarray], np.ndarray] | None = None  # latents of files, and of mirrored ones


class TrainingLatents:
    """The training pool at one resolution (of pixels), encoded, with random crops; a drop-in for TrainingImages."""

    def __init__(
        self,
        dataset: Dataset,
        resolution: Size,
        crops: CropOptions,
        encoder: Encoder,
        *,
        cache_dir: Path | str,
        num_pictures: int | None = None,
        device: torch.device | str = "cpu",
        between: Between | None = None,
    ) -> None:
        """Encodes or opens the pool; `between` is called after each part of the work and may interrupt it."""
        self.count = pool_size(dataset, num_pictures)
        self.resolution, self.crops, self.encoder = resolution, crops, encoder
        self.device = torch.device(device)
        self._dataset = dataset
        self.labels_N = torch.from_numpy(dataset.labels("train", np.arange(self.count))).to(self.device)
        identity = [_VERSION, encoder.revision, dataset.revision, self.count, *resolution]
        self.latents_NShw = self._pool("latents", identity, self.count, self._complete, cache_dir, between)
        self.windows_B3, self.windows_Shw = torch.zeros(0, 3), self.latents_NShw[:0]
        if not isinstance(crops, NoCrops):
            number = self.count * encoder.windows
            self.windows_B3 = self._draw_windows(number)
            identity += [encoder.windows, repr(crops)]
            self.windows_Shw = self._pool("windows", identity, number, self._windows, cache_dir, between)

    def __len__(self) -> int:
        return self.count

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """x_BChw float32, labels_B int64, crop_B3 float32; rng is a generator of the CPU.

        Takes the same draws as TrainingImages.batch, so that runs see the same images in the same order; whether a
        image is cropped is drawn anew, which of its windows is taken instead of a new one.
        """
        u_BD = torch.rand(batch_size, 1 + DRAWS, generator=rng, dtype=torch.float64)
        chosen_B = (u_BD[:, 0] * self.count).long().clamp_(max=self.count - 1)
        crop_B3 = self.crops.draw(u_BD[:, 1:])
        x_BShw = rows(self.latents_NShw, chosen_B, self.device).float()
        cropped = (crop_B3[:, 0] > 0).nonzero()[:, 0]
        if len(cropped):
            window = (u_BD[cropped, 2] * self.encoder.windows).long().clamp_(max=self.encoder.windows - 1)
            taken = chosen_B[cropped] * self.encoder.windows + window
            crop_B3[cropped] = self.windows_B3[taken]
            x_BShw[placed(cropped, self.device)] = rows(self.windows_Shw, taken, self.device).float()
        if self.encoder.stored > self.encoder.channels:
            mean, deviation = x_BShw.chunk(2, dim=1)
            x_BShw = mean + deviation * placed(torch.randn(mean.shape, generator=rng), self.device)
        return x_BShw, self.labels_N[placed(chosen_B, self.device)], placed(crop_B3, self.device)

    def _pool(
        self,
        label: str,
        identity: list[object],
        number: int,
        make: Callable[[int, int], np.ndarray],
        cache_dir: Path | str,
        between: Between | None,
    ) -> Tensor:
        height, width = self.resolution
        cells = (height // self.encoder.downsampling, width // self.encoder.downsampling)
        shape = (number, self.encoder.stored, *cells)
        name = f"{label}-{height}x{width}"
        dtype = np.dtype(np.float16)
        pool = cached_array(name, identity, shape, dtype, make, cache_dir, chunk=_CHUNK, between=between)
        return rows(torch.from_numpy(pool), None, self.device)

    def _complete(self, start: int, stop: int) -> np.ndarray:
        if self.encoder.ready is not None:
            return self._ready(np.arange(start, stop))
        return self.encoder.encode(drawn(self._dataset, "train", np.arange(start, stop), self.resolution))

    def _ready(self, indices: np.ndarray) -> np.ndarray:
        """Latents of files; the first are held against what the autoencoder makes of their images."""
        assert self.encoder.ready is not None
        assert isinstance(self._dataset, FileDataset)  # resolving an experiment sees to it
        latents = self.encoder.ready(self._dataset.files("train", indices), self._dataset.mirrored("train", indices))
        size = tuple(self.encoder.downsampling * cells for cells in latents.shape[2:])
        height, width = self.resolution
        if size != (height, width):
            raise UserError(
                f"the ready latents are of {size[0]}x{size[1]} px, training is at {height}x{width}; encode at that"
            )
        if not indices[0]:
            own = self.encoder.encode(drawn(self._dataset, "train", indices[:CHECKED], self.resolution))
            first, own = (part[:CHECKED, : self.encoder.channels].astype(np.float32) for part in (latents, own))
            error = float(np.sqrt(np.square(first - own).mean() / max(np.square(own).mean(), 1e-12)))
            if error > APART:
                raise UserError(
                    f"the ready latents are {error:.0%} away from what the autoencoder makes of the same images; give "
                    "the autoencoder that made them, its scale and shift, and the images that it saw"
                )
        return latents

    def _draw_windows(self, number: int) -> Tensor:
        """crop_B3 of every window: row i * windows + k is the k-th of image i; cropped always."""
        u_BD = uniform(0, "train", np.arange(number), DRAWS)
        u_BD[:, 0] = 1.0
        return self.crops.draw(torch.from_numpy(u_BD))

    def _windows(self, start: int, stop: int) -> np.ndarray:
        images = np.arange(start, stop) // self.encoder.windows
        distinct, place = np.unique(images, return_inverse=True)
        native = self.resolution
        if isinstance(self.crops, ResizeAndCrop) and self.crops.source == "native":
            native = (round(native[0] * self.crops.max_zoom), round(native[1] * self.crops.max_zoom))
        source_NCHW = torch.from_numpy(drawn(self._dataset, "train", distinct, native))
        cut = []
        for part in torch.arange(stop - start).split(16):
            window_BCHW = crop(
                source_NCHW[torch.from_numpy(place)[part]].float(), self.windows_B3[start + part], self.resolution
            )
            cut.append(window_BCHW.to(torch.uint8).numpy())
        return self.encoder.encode(np.concatenate(cut))
