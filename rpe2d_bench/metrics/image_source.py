"""Anybody's images as a stream of uint8 batches: a folder, a zip, shards, an .npz with `arr_0`, a store's samples.npz.

All but arrays are listed and decoded as a data set's are (listing.py and decoding.py in data/image_folder/), but for
one rule: more than 8 bits a channel are an error, since how they were rounded would be measured, too. Nothing is
dropped in silence: what was converted or left out is counted in `notes`, what cannot be used is an error that names the
file.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from zipfile import ZipFile

import numpy as np

from rpe2d_bench.data.image_folder.containers import SHARDS, open_files
from rpe2d_bench.data.image_folder.decoding import MAX_PIXELS, read_image
from rpe2d_bench.data.image_folder.files import Files
from rpe2d_bench.data.image_folder.listing import SPLIT_NAMES, sift
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.statistics_file import DAMAGED, StatisticsFile
from rpe2d_bench.storage.files import sha256_of_unchanged
from rpe2d_bench.storage.npz import header, held_bytes, rows

BATCH_BYTES = 2**28  # of one batch: of large images it holds fewer than were asked for


class ImageSource(Protocol):
    """A set of images that is read once, in a fixed order."""

    count: int
    notes: Counter[str]  # what was converted or left out, in words, and how often
    sizes: Counter[tuple[int, int]]  # filled while reading

    @property
    def digest(self) -> str:
        """sha256 of the content: equal where every image is, and its name or place."""
        ...

    def batches(self, batch_size: int, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """uint8 [N, C, H, W] of one size each, N <= batch_size, in order; of the images `chosen`, ascending, or all."""
        ...


def random_subset(count: int, wanted: int, seed: int, part: int = 0) -> np.ndarray:
    """Ascending indices of `wanted` of `count` images: a seeded draw without replacement, each image alike.

    Parts of one seed do not overlap.
    """
    return np.sort(np.random.default_rng(seed).permutation(count)[part * wanted : (part + 1) * wanted])


def open_images(path: Path) -> ImageSource:
    """The images at a path; raises UserError where there are none."""
    if not path.exists():
        raise UserError(f"no images at {path}: it does not exist; give a folder, a .zip, a .tar, a .parquet or an .npz")
    if path.suffix.lower() == ".npz":
        return ImageArray(path)
    if path.is_dir() or path.suffix.lower() in (".zip", *SHARDS):
        return ImageFiles(open_files(path))
    raise UserError(f"{path} is neither a folder, nor a .zip, .tar, .parquet or .npz; put the images into one of these")


class ImageFiles:
    """Images that are files of a folder, a zip or shards, in the order of their names."""

    def __init__(self, files: Files, names: list[str] | None = None) -> None:
        self.path, self._files = files.path, files
        self.notes: Counter[str] = Counter()
        if names is None:
            sifted = sift(files)
            names = sifted.images
            self.notes.update({f"left out: {what}": number for what, number in sifted.left_out.items()})
            tops = {name.partition("/")[0] for name in names if "/" in name}
            if len(splits := sorted(top for top in tops if top.lower() in SPLIT_NAMES)) > 1:
                self.notes[f"folders of splits taken together ({', '.join(splits)})"] = len(splits)
        self.names = names
        self.count = len(names)
        self.sizes: Counter[tuple[int, int]] = Counter()

    @property
    def digest(self) -> str:
        found = hashlib.sha256()
        for name, content in zip(self.names, self._files.read(self.names), strict=True):
            found.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
        return found.hexdigest()

    def chosen(self, names: list[str]) -> ImageFiles:
        """Some of the images, in the order given."""
        return ImageFiles(self._files, names)

    def batches(self, batch_size: int, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
        batch: list[np.ndarray] = []
        names = self.names if chosen is None else [self.names[at] for at in chosen]
        for name, content in zip(names, self._files.read(names), strict=True):
            image = self._pixels(name, content)
            self.sizes[image.shape[1], image.shape[2]] += 1
            if batch and (len(batch) == _together(batch_size, image.nbytes) or batch[0].shape != image.shape):
                yield np.stack(batch)
                batch = []
            batch.append(image)
        if batch:
            yield np.stack(batch)

    def _pixels(self, name: str, content: bytes) -> np.ndarray:
        """One file as uint8 [C, H, W] with 1 or 3 channels."""
        decoded = read_image(content, f"{self.path}/{name}", deep="refuse")
        self.notes.update(decoded.notes)
        array = np.asarray(decoded.image)
        return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _together(batch_size: int, image_bytes: int) -> int:
    return max(1, min(batch_size, BATCH_BYTES // image_bytes))


class ImageArray:
    """An .npz, streamed without loading it whole: `arr_0`, uint8 [N, H, W, C], as the ADM evaluator reads it, with the
    labels in `arr_1`; or `pictures`, uint8 [N, C, H, W], and `labels`, as a store's samples.npz has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        try:
            self._archive = ZipFile(path)
            held = {name.removesuffix(".npy") for name in self._archive.namelist()}
            self._key = next((key for key in ("arr_0", "pictures", "images") if key in held), None)
            statistics = sorted(held & {"mu", "sigma"})
            if self._key is None and statistics:
                raise UserError(
                    f"{path} holds statistics ({', '.join(statistics)}) and no images; statistics alone are not read: "
                    "give the images that they were taken of, as arr_0 or in a folder"
                )
            if statistics:
                self.notes[
                    f"its own statistics ({', '.join(statistics)}), which ADM's evaluator wrote, are used by fid_adm "
                    "alone: other distances are those of its images, not the published FID of a larger set"
                ] = 1
            if self._key is None:
                raise UserError(
                    f"{path} holds no 'arr_0' but {', '.join(sorted(held))}; write it with np.savez(path, images)"
                )
            shape, fortran, dtype = header(self._archive, self._key)
            bytes_held = held_bytes(self._archive, self._key)
        except DAMAGED as error:
            raise UserError(f"{path} is not a readable .npz ({error}); write it again") from error
        self._first = self._key != "arr_0"  # whether channels come first
        layout = "[N, C, H, W]" if self._first else "[N, H, W, C]"
        hint = "; scale to 0..255, round and clip (NaN has no grey level)" if dtype.kind == "f" else ""
        channels = None if len(shape) != 4 else shape[1] if self._first else shape[3]
        if dtype != np.uint8 or fortran or channels not in (1, 3) or min(shape) < 1:
            raise UserError(
                f"{self._key} of {path} is {dtype} {shape}; expected uint8 {layout} with 1 or 3 channels{hint}"
            )
        if math.prod(shape) != bytes_held:
            raise UserError(
                f"{self._key} of {path} claims {shape}, {math.prod(shape):,} bytes, but holds {bytes_held:,}; write it "
                "again"
            )
        self.count = shape[0]
        self._size: tuple[int, int] = shape[2:] if self._first else shape[1:3]  # type: ignore[assignment]
        self._row = math.prod(shape[1:])
        if self._size[0] * self._size[1] > MAX_PIXELS:
            raise UserError(
                f"{path} holds images of {self._size[0]}x{self._size[1]}, more pixels than the {MAX_PIXELS:,} that are "
                "read; make them smaller"
            )

    @property
    def digest(self) -> str:
        return sha256_of_unchanged(self.path)

    @property
    def statistics(self) -> StatisticsFile | None:
        """Those of Inception's features that ADM's reference batches hold beside their images, if this does."""
        held = {"mu.npy", "sigma.npy"} <= set(self._archive.namelist())
        return StatisticsFile(str(self.path)) if held else None

    @property
    def labels(self) -> np.ndarray | None:
        """The class of each image, where the file has it."""
        key = "labels" if self._first else "arr_1"
        if f"{key}.npy" not in self._archive.namelist():
            return None
        wanted = f"expected one class number for each of the {self.count} images"
        try:
            shape, _, dtype = header(self._archive, key)
            if dtype.kind not in "iu" or shape != (self.count,):
                raise UserError(f"{key} of {self.path} is {dtype} {shape}; {wanted}")
            labels = np.concatenate(list(rows(self._archive, key, 2**20)))
        except DAMAGED as error:
            raise UserError(f"{key} of {self.path} cannot be read as labels ({error}); {wanted}") from error
        return labels.astype(np.int64)

    def batches(self, batch_size: int, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
        length = _together(batch_size, self._row)
        wanted = np.arange(self.count) if chosen is None else np.asarray(chosen)
        assert self._key is not None
        pending: list[np.ndarray] = []
        pieces, start = rows(self._archive, self._key, length, int(wanted[-1]) + 1 if len(wanted) else 0), 0
        while True:
            try:
                piece = next(pieces, None)
            except DAMAGED as error:
                raise UserError(f"{self.path} is damaged ({error}); write it again") from error
            if piece is None:
                break
            low, high = np.searchsorted(wanted, (start, start + len(piece)))
            pending.extend(piece[wanted[low:high] - start])
            start += len(piece)
            while len(pending) >= length:
                yield self._batch(pending[:length])
                pending = pending[length:]
        if pending:
            yield self._batch(pending)

    def _batch(self, images: list[np.ndarray]) -> np.ndarray:
        self.sizes[self._size] += len(images)
        batch = np.stack(images)
        return batch if self._first else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
