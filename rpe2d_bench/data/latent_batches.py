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
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.data.counter_rng import uniform
from rpe2d_bench.data.crops import DRAWS, CropOptions, NoCrops, ResizeAndCrop
from rpe2d_bench.data.device_pool import placed, rows
from rpe2d_bench.data.image_batches import crop, pool_size
from rpe2d_bench.data.image_pool import Array, Between, drawn, opened
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


class Coder(Protocol):
    """What the arrays of an encoder depend on."""

    @property
    def revision(self) -> str: ...

    @property
    def downsampling(self) -> int: ...

    @property
    def stored(self) -> int: ...

    @property
    def windows(self) -> int: ...


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
        array = latents_array(encoder, dataset.revision, self.count, resolution)
        complete = lambda start, stop: latents(dataset, resolution, encoder, start, stop)  # noqa: E731
        self.latents_NShw = self._opened(array, complete, cache_dir, between)
        self.windows_B3, self.windows_Shw = torch.zeros(0, 3), self.latents_NShw[:0]
        if not isinstance(crops, NoCrops):
            array = windows_array(encoder, dataset.revision, self.count, resolution, crops)
            self.windows_B3 = drawn_windows(crops, np.arange(array.shape[0]))
            cut = lambda start, stop: windows(dataset, resolution, crops, encoder, start, stop)  # noqa: E731
            self.windows_Shw = self._opened(array, cut, cache_dir, between)

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

    def _opened(
        self,
        array: Array,
        make: Callable[[int, int], np.ndarray],
        cache_dir: Path | str,
        between: Between | None,
    ) -> Tensor:
        return rows(torch.from_numpy(opened(array, make, cache_dir, between)), None, self.device)


def latents_array(encoder: Coder, revision: str, count: int, resolution: Size) -> Array:
    """The first training images of a data set of that revision, encoded, float16 [N, S, h, w]."""
    return _array("latents", encoder, (revision, count, *resolution), count, resolution)


def windows_array(encoder: Coder, revision: str, count: int, resolution: Size, crops: CropOptions) -> Array:
    """The windows of the same images, encoded: row i * windows + k is the k-th of image i."""
    about = (revision, count, *resolution, encoder.windows, repr(crops))
    return _array("windows", encoder, about, count * encoder.windows, resolution)


def _array(label: str, encoder: Coder, about: tuple[object, ...], number: int, resolution: Size) -> Array:
    height, width = resolution
    cells = (height // encoder.downsampling, width // encoder.downsampling)
    identity = (_VERSION, encoder.revision, *about)
    return Array(f"{label}-{height}x{width}", identity, (number, encoder.stored, *cells), np.float16, _CHUNK)


def latents(dataset: Dataset, resolution: Size, encoder: Encoder, start: int, stop: int) -> np.ndarray:
    """Rows of `latents_array`."""
    if encoder.ready is not None:
        return _ready(dataset, resolution, encoder, np.arange(start, stop))
    return encoder.encode(drawn(dataset, "train", np.arange(start, stop), resolution))


def _ready(dataset: Dataset, resolution: Size, encoder: Encoder, indices: np.ndarray) -> np.ndarray:
    """Latents of files; the first are held against what the autoencoder makes of their images."""
    assert encoder.ready is not None
    assert isinstance(dataset, FileDataset)  # resolving an experiment sees to it
    found = encoder.ready(dataset.files("train", indices), dataset.mirrored("train", indices))
    size = tuple(encoder.downsampling * cells for cells in found.shape[2:])
    height, width = resolution
    if size != (height, width):
        raise UserError(
            f"the ready latents are of {size[0]}x{size[1]} px, training is at {height}x{width}; encode at that"
        )
    if not indices[0]:
        own = encoder.encode(drawn(dataset, "train", indices[:CHECKED], resolution))
        first, own = (part[:CHECKED, : encoder.channels].astype(np.float32) for part in (found, own))
        error = float(np.sqrt(np.square(first - own).mean() / max(np.square(own).mean(), 1e-12)))
        if error > APART:
            raise UserError(
                f"the ready latents are {error:.0%} away from what the autoencoder makes of the same images; give "
                "the autoencoder that made them, its scale and shift, and the images that it saw"
            )
    return found


def drawn_windows(crops: CropOptions, rows_B: np.ndarray) -> Tensor:
    """crop_B3 of windows by their rows; cropped always."""
    u_BD = uniform(0, "train", rows_B, DRAWS)
    u_BD[:, 0] = 1.0
    return crops.draw(torch.from_numpy(u_BD))


def windows(
    dataset: Dataset, resolution: Size, crops: CropOptions, encoder: Encoder, start: int, stop: int
) -> np.ndarray:
    """Rows of `windows_array`."""
    windows_B3 = drawn_windows(crops, np.arange(start, stop))
    images = np.arange(start, stop) // encoder.windows
    distinct, place = np.unique(images, return_inverse=True)
    frame = crops.frame(resolution) if isinstance(crops, ResizeAndCrop) else resolution
    source_NCHW = torch.from_numpy(drawn(dataset, "train", distinct, frame))
    cut = []
    for part in torch.arange(stop - start).split(16):
        window_BCHW = crop(source_NCHW[torch.from_numpy(place)[part]].float(), windows_B3[part], resolution)
        cut.append(window_BCHW.to(torch.uint8).numpy())
    return encoder.encode(np.concatenate(cut))
