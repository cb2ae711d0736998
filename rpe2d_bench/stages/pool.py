"""A pool of training images as a stage, so that many processes can make it: rendered, decoded or encoded in shares.

A pool is no result: it lies in the cache and not among the stages, and a training makes what it lacks. Shares of it are
stages, until they are put together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.data.crops import NoCrops, ResizeAndCrop
from rpe2d_bench.data.image_pool import Array, drawn, images_array, opened
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.latents import Watch, encoder_of
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.share import Share, remove, shares_of
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.storage.rows_file import RowsFile
from rpe2d_bench.storage.store import Store

ROWS = 8  # times as many as images of a share
TOGETHER = 2**26  # bytes that are put together at a time
FILE = "rows.npy"


@dataclass(frozen=True)
class PoolStage:
    """One of the arrays that a training draws its batches from."""

    train: TrainStage
    resolution: Resolution
    count: int  # images
    crops: bool  # what crops are taken from, instead of complete images

    name = "pool"

    @cached_property
    def array(self) -> Array:
        from rpe2d_bench.data.latent_batches import latents_array, windows_array

        stage, space = self.train, self.train.latents
        if space is None:
            size = _native(stage, self.resolution) if self.crops else self.resolution
            return images_array(stage.revision, "train", self.count, stage.channels, size)
        if self.crops:
            return windows_array(space, stage.revision, self.count, self.resolution, stage.crops)
        return latents_array(space, stage.revision, self.count, self.resolution)

    @property
    def key(self) -> str:
        """The name of its folder in the cache."""
        return self.array.name

    @property
    def on_cpu(self) -> bool:
        """Whether it needs no accelerator."""
        return self.train.latents is None  # ready latents are held against the autoencoder, too

    @property
    def ready(self) -> bool:
        """Whether its latents are read, not made."""
        return self.train.latents is not None and self.train.latents.ready is not None and not self.crops

    def is_there(self, store: Store) -> bool:
        """Whether it is in the cache."""
        return self.array.is_in(store.root / "cache")

    def shares(self, resources: Resources) -> tuple[Share, ...]:
        """What may be made by several processes; none where it is little."""
        return shares_of(self, self.array.shape[0], ROWS * resources.images_per_share, self.array.chunk)

    def missing(self, store: Store, resources: Resources) -> tuple[Share, ...]:
        """Those whose rows an attempt in one piece has not made."""
        done = self.array.done(store.root / "cache")
        return tuple(share for share in self.shares(resources) if share.stop > done)

    def make(self, context: RunContext) -> Path:
        """The folder in the cache, put together of its shares; what is missing of them is made."""
        shares = self.missing(context.store, context.resources)
        alone = self._maker(context)
        folders = {share.first: context.store.fetch(share.name, share.key, context.say) for share in shares}

        def rows(start: int, stop: int) -> np.ndarray:
            found = []
            for share in shares:
                low, high = max(start, share.first), min(stop, share.stop)
                folder = folders[share.first]
                if low < high and folder is not None:
                    kept = np.load(folder / FILE, mmap_mode="r", allow_pickle=False)
                    found.append(kept[low - share.first : high - share.first])
                elif low < high:
                    chunk = self.array.chunk
                    found += [alone(at, min(at + chunk, high)) for at in range(low, high, chunk)]
            return np.concatenate(found) if found else alone(start, stop)

        cache = context.store.root / "cache"
        row = math.prod(self.array.shape[1:]) * np.dtype(self.array.dtype).itemsize
        chunk = max(1, TOGETHER // row // self.array.chunk) * self.array.chunk
        opened(self.array, rows, cache, Watch(self, "putting training images together", context), chunk=chunk)
        remove(self.shares(context.resources), context.store)
        return cache / self.key

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Folder with rows.npy."""
        make, watch = self._maker(context), Watch(share, "", context)
        with RowsFile(partial / FILE, (share.count, *self.array.shape[1:]), self.array.dtype) as file:
            for start in range(share.first, share.stop, self.array.chunk):
                watch(start - share.first, share.count)
                file.write(start - share.first, make(start, min(start + self.array.chunk, share.stop)))

    def _maker(self, context: RunContext) -> Callable[[int, int], np.ndarray]:
        """(start, stop) -> rows of the array."""
        from rpe2d_bench.data.latent_batches import latents, windows

        stage, dataset = self.train, self.train.data.build()
        if stage.latents is None:
            size = _native(stage, self.resolution) if self.crops else self.resolution
            return lambda start, stop: drawn(dataset, "train", np.arange(start, stop), size)
        encoder = encoder_of(stage.latents, context.resources.device)
        if self.crops:
            return lambda start, stop: windows(dataset, self.resolution, stage.crops, encoder, start, stop)
        return lambda start, stop: latents(dataset, self.resolution, encoder, start, stop)


def pools_of(stage: TrainStage, size: int) -> list[PoolStage]:
    """What a training draws from, of a split of so many images."""
    if not stage.recipe.steps:
        return []
    count = stage.recipe.num_pictures or size
    found = []
    for resolution in (stage.resolution, *(resolution for resolution, _ in stage.mixed)):
        found.append(PoolStage(stage, resolution, count, crops=False))
        native = isinstance(stage.crops, ResizeAndCrop) and stage.crops.source == "native"
        if native if stage.latents is None else not isinstance(stage.crops, NoCrops):
            found.append(PoolStage(stage, resolution, count, crops=True))
    return found


def _native(stage: TrainStage, resolution: Resolution) -> Resolution:
    assert isinstance(stage.crops, ResizeAndCrop)
    height, width = resolution
    return Resolution(round(height * stage.crops.max_zoom), round(width * stage.crops.max_zoom))
