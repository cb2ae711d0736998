"""samples.npz, what a sampling leaves: `pictures` uint8 [N, C, Y, X] and their `labels` [N].

50,000 images of 1,024 px are 146 GiB, so they are written from a file, read in pieces and looked at from the front.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import compress
from zlib import error as ZlibError

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0

from rpe2d_bench.storage.npz import header, rows

NAME = "samples.npz"
PIECE = 2**26  # bytes of images in memory at once, unless one batch is more
BATCH = 64  # of the nets that look at images: pieces are whole batches, so that they give the bits of the whole
UNREADABLE = (OSError, KeyError, ValueError, EOFError, BadZipFile, ZlibError)  # what reading a damaged file raises


def piece_length(image: tuple[int, ...], growth: int = 1) -> int:
    """Images [C, Y, X] of a piece, when each becomes `growth` times as many bytes."""
    return max(1, PIECE // (BATCH * growth * math.prod(image))) * BATCH


def save(path: Path, images: np.ndarray | Sequence[np.ndarray], labels: np.ndarray) -> None:
    """Write images, or parts of them in order, which may be memory maps, and labels.

    Photographs are not compressed: zlib takes 36 s a GB for 5 %.
    """
    parts = [images] if isinstance(images, np.ndarray) else images
    how = ZIP_DEFLATED if _compressible(parts[0]) else ZIP_STORED
    whole = (sum(map(len, parts)), *parts[0].shape[1:])
    with ZipFile(path, "w", how) as archive:  # the names in stores since the first version
        for name, arrays, form in (("pictures", parts, whole), ("labels", [labels], labels.shape)):
            with archive.open(_entry(name, how), "w", force_zip64=True) as file:
                about = {"descr": dtype_to_descr(arrays[0].dtype), "fortran_order": False, "shape": form}
                write_array_header_1_0(file, about)
                for array in arrays:
                    for start in range(0, len(array), BATCH):
                        file.write(np.ascontiguousarray(array[start : start + BATCH]).reshape(-1).view(np.uint8).data)


def _entry(name: str, how: int) -> ZipInfo:
    """Of a fixed date, so that equal images are equal files."""
    entry = ZipInfo(f"{name}.npy")
    entry.compress_type = how
    return entry


def _compressible(images: np.ndarray) -> bool:
    """Whether the first images shrink by a fifth."""
    sample = np.ascontiguousarray(images[:BATCH]).reshape(-1).view(np.uint8).data[: 2**20]
    return len(compress(sample, 1)) < 0.8 * len(sample)


def shape(path: Path) -> tuple[int, ...]:
    """[N, C, Y, X] of the images."""
    with ZipFile(path) as archive:
        return header(archive, "pictures")[0]


def labels(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        found: np.ndarray = stored["labels"]
    return found


def first(path: Path, count: int, start: int = 0) -> np.ndarray:
    """The images at the front, or from another on, at most `count`."""
    if count < 1:
        return np.empty((0, *shape(path)[1:]), np.uint8)
    with ZipFile(path) as archive:
        return next(rows(archive, "pictures", count, start=start))


def pieces(path: Path, growth: int = 1) -> Iterator[np.ndarray]:
    """All images in order, a piece at a time."""
    with ZipFile(path) as archive:
        yield from rows(archive, "pictures", piece_length(header(archive, "pictures")[0][1:], growth))


def grid(images_NCHW: np.ndarray, columns: int) -> np.ndarray:
    """One uint8 image [H, W, 3] of many, row by row, one grey pixel apart; grey images become RGB."""
    count, _, height, width = images_NCHW.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    grid_HWC = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 128, np.uint8)
    for number, image_CHW in enumerate(images_NCHW):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        grid_HWC[top : top + height, left : left + width] = image_CHW.transpose(1, 2, 0)  # one channel is repeated
    return grid_HWC
