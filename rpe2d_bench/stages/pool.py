"""A pool of training images as a stage, so that many processes can make it: rendered, decoded or encoded in shares.

A pool is no result: it lies in the cache and not among the stages, and a training makes what it lacks. Shares of it are
stages, until they are put together. Where the store lies elsewhere, a pool is its shares there: those stay, and each
machine that trains puts them together in its own cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.data.crops import NoCrops, ResizeAndCrop
from rpe2d_bench.data.image_pool import Array, drawn, images_array, opened
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.latents import Watch, encoder_of
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.share import Share, covered, kept_shares, remove, shares_of
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
        """Whether it is in the cache, or its shares are where the store is."""
        if store.mirror is None:
            return self.array.is_in(store.root / "cache")
        return covered(kept_shares(self, store), 0, self.array.shape[0])

    def shares(self, resources: Resources) -> tuple[Share, ...]:
        """What may be made by several processes; none where it is little."""
        return shares_of(self, self.array.shape[0], ROWS * resources.images_per_share, self.array.chunk)

    def missing(self, store: Store, resources: Resources) -> tuple[Share, ...]:
        """Those of rows that are in no share, of whatever length, and that no attempt in one piece has made here.

        In a store elsewhere latents that an autoencoder makes are one share at least, and files of latents none: what
        takes longer to make than to fetch is made once for all machines.
        """
        shares, count = self.shares(resources), self.array.shape[0]
        done = self.array.done(store.root / "cache")
        if store.mirror is not None:
            done, encoded = 0, self.train.latents is not None and not self.ready
            shares = () if self.ready else shares or ((Share(self, 0, count),) if encoded else ())
        kept = kept_shares(self, store)
        return tuple(s for s in shares if s.stop > done and not covered(kept, s.first, s.stop))

    def in_shares(self, store: Store, resources: Resources) -> bool:
        """Whether others make it, or have made some of it."""
        return bool(kept_shares(self, store) or self.missing(store, resources))

    def make(self, context: RunContext) -> Path:
        """The folder in the cache, put together of its shares; what is missing of them is made."""
        store, alone = context.store, self._maker(context)
        shares = (*kept_shares(self, store), *self.missing(store, context.resources))

        @lru_cache(maxsize=1)
        def rows_of(place: int) -> np.ndarray | None:
            share = shares[place]
            folder = store.fetch(share.name, share.key, context.say)
            if folder is None and store.mirror is not None:
                folder = share.make(context)  # others need it, too
            return None if folder is None else np.load(folder / FILE, mmap_mode="r", allow_pickle=False)

        def rows(start: int, stop: int) -> np.ndarray:
            found, at, chunk = [], start, self.array.chunk
            while at < stop:
                place = next((i for i, share in enumerate(shares) if share.first <= at < share.stop), None)
                first, last = (at, stop) if place is None else (shares[place].first, min(stop, shares[place].stop))
                array = None if place is None else rows_of(place)
                if array is not None:
                    found.append(array[at - first : last - first])
                else:
                    found += [alone(low, min(low + chunk, last)) for low in range(at, last, chunk)]
                at = last
            return np.concatenate(found)

        cache = store.root / "cache"
        row = math.prod(self.array.shape[1:]) * np.dtype(self.array.dtype).itemsize
        chunk = max(1, TOGETHER // row // self.array.chunk) * self.array.chunk
        opened(self.array, rows, cache, Watch(self, "putting training images together", context), chunk=chunk)
        if store.mirror is None:
            remove(kept_shares(self, store), store)
        for share in shares if store.mirror is not None else ():
            store.leave(share.name, share.key)
        return cache / self.key

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Folder with rows.npy."""
        make, watch = self._maker(context), Watch(share, "", context)
        with RowsFile(partial / FILE, (share.count, *self.array.shape[1:]), self.array.dtype) as file:
            for start in range(share.first, share.stop, self.array.chunk):
                watch(start - share.first, share.count)
                file.write(start - share.first, make(start, min(start + self.array.chunk, share.stop)))

    def _maker(self, context: RunContext) -> Callable[[int, int], np.ndarray]:
        """(start, stop) -> rows of the array, from the cache where it is there and others are to have it."""
        from rpe2d_bench.data.latent_batches import latents, windows

        found = self.array.read(context.store.root / "cache")
        if found is not None:
            return lambda start, stop: found[start:stop]
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


def bring(stage: TrainStage, size: int, context: RunContext) -> None:
    """Put together here what a training draws from and other machines have made, or are to have as well."""
    store = context.store
    for pool in pools_of(stage, size) if store.mirror is not None else ():
        if not pool.array.is_in(store.root / "cache") and pool.in_shares(store, context.resources):
            pool.make(context)


def _native(stage: TrainStage, resolution: Resolution) -> Resolution:
    assert isinstance(stage.crops, ResizeAndCrop)
    height, width = resolution
    return Resolution(round(height * stage.crops.max_zoom), round(width * stage.crops.max_zoom))
