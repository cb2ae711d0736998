"""Rendered, decoded or encoded images as one memory-mapped array on disk, made once per content."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.data.interface import Dataset, Split
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.files import locked, write_json
from rpe2d_bench.storage.rows_file import RowsFile

LOG = logging.getLogger("rpe2d_bench.data")
_VERSION = 1
_CHUNK = 1024  # images rendered at a time
_THREADS, _PIECE = 16, 32  # at most, and images that a thread draws at a time
POLL = 0.2  # seconds between two looks at the lock of an array that another process works on
_ARRAY, _CHECKSUM, _DONE = "pictures.npy", "checksum.json", "done.json"

Between = Callable[[int, int], None]  # called with rows done and rows in all, first of all; what it raises interrupts


@dataclass(frozen=True)
class Array:
    """What an array of rows is: its address, and how it is made in parts."""

    label: str
    identity: tuple[Any, ...]  # what its content depends on
    shape: tuple[int, ...]
    dtype: type
    chunk: int  # rows made together

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.label}-{hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()[:20]}"

    def is_in(self, cache_dir: Path) -> bool:
        """Whether it is there; opening it also compares its checksum."""
        return (cache_dir / self.name / _CHECKSUM).exists()

    def read(self, cache_dir: Path) -> np.ndarray | None:
        """The array, memory-mapped, where it is there and matches its checksum."""
        return _open(cache_dir / self.name, self.shape, np.dtype(self.dtype))

    def done(self, cache_dir: Path) -> int:
        """Rows of it that an interrupted attempt has made."""
        return _count(cache_dir / self.name)


def images_array(revision: str, split: Split, count: int, channels: int, resolution: Size) -> Array:
    """The first images of a split, uint8."""
    identity = (_VERSION, revision, split, count, *resolution)
    label = f"pictures-{resolution[0]}x{resolution[1]}"
    return Array(label, identity, (count, channels, *resolution), np.uint8, _CHUNK)


def cached_images(
    dataset: Dataset,
    split: Split,
    count: int,
    resolution: Size,
    cache_dir: Path | str,
    between: Between | None = None,
) -> np.ndarray:
    """The first images of a split, uint8 [count, C, H, W], memory-mapped (private: writing changes no file)."""
    array = images_array(dataset.revision, split, count, dataset.channels, resolution)
    return opened(
        array, lambda start, stop: drawn(dataset, split, np.arange(start, stop), resolution), cache_dir, between
    )


def drawn(dataset: Dataset, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
    """Images by index, as the data set gives them; on several cores at once where it allows that."""
    threads = min(_THREADS, os.cpu_count() or 1) if getattr(dataset, "threadable", False) else 1
    if threads == 1:
        return dataset.images(split, indices, resolution)
    pieces = np.array_split(indices, max(1, len(indices) // _PIECE))
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda piece: dataset.images(split, piece, resolution), pieces)))


def opened(
    array: Array,
    make: Callable[[int, int], np.ndarray],
    cache_dir: Path | str,
    between: Between | None = None,
    *,
    chunk: int | None = None,
) -> np.ndarray:
    """An array of which make(start, stop) gives rows, `chunk` of them at a time.

    Made in a folder of its own and renamed; a lock lets one process work while others wait; what an interrupted
    attempt finished is kept; a checksum is compared on opening and on going on, and what does not match is made anew
    and said so. Raises OSError where the disk is full.
    """
    directory = Path(cache_dir)
    directory.mkdir(parents=True, exist_ok=True)
    final, shape, dtype = directory / array.name, array.shape, np.dtype(array.dtype)
    found = _open(final, shape, dtype)
    if found is not None:
        return found
    if final.exists():
        LOG.warning("%s does not match its checksum; making it again", final)
    between = between or (lambda done, total: None)
    with locked(directory / f"{array.name}.lock", lambda: between(_count(final), shape[0]), POLL):
        found = _open(final, shape, dtype)
        if found is None:
            _make(final, shape, dtype, make, chunk or array.chunk, between)
            found = _open(final, shape, dtype)
    if found is None:
        raise OSError(f"{final}: what was just written cannot be read back")
    return found


def _count(final: Path) -> int:
    """Rows that are done of an array under way."""
    try:
        return int(json.loads((_partial(final) / _DONE).read_text())[0])
    except (OSError, ValueError, TypeError):
        return 0


def _partial(final: Path) -> Path:
    return final.with_name(f"{final.name}.partial")


def _make(
    final: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    make: Callable[[int, int], np.ndarray],
    chunk: int,
    between: Between,
) -> None:
    partial = _partial(final)
    try:
        array, done, checksum = _begun(partial, shape, dtype)
        with array:
            between(done, shape[0])
            for start in range(done, shape[0], chunk):
                stop = min(start + chunk, shape[0])
                rows = np.ascontiguousarray(make(start, stop), dtype)
                array.write(start, rows)
                checksum = zlib.crc32(_bytes(rows), checksum)
                array.sync()
                write_json(partial / _DONE, [stop, checksum])
                between(stop, shape[0])
    except BaseException:
        if not (partial / _DONE).exists():  # nothing to continue from
            shutil.rmtree(partial, ignore_errors=True)
        raise
    write_json(partial / _CHECKSUM, {"crc32": checksum, "shape": shape})
    (partial / _DONE).unlink(missing_ok=True)
    if final.exists():  # damaged: moved away first, since a directory is not replaced by a rename
        damaged = Path(tempfile.mkdtemp(prefix=f"{final.name}.tmp-", dir=final.parent))
        final.rename(damaged / "damaged")
        shutil.rmtree(damaged, ignore_errors=True)
    partial.rename(final)


def _begun(partial: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[RowsFile, int, int]:
    """The array under way, how many rows it has and their checksum."""
    path = partial / _ARRAY
    try:
        done, checksum = json.loads((partial / _DONE).read_bytes())
        array = RowsFile(path, shape, dtype, keep=True)
        if type(done) is int and 0 < done <= shape[0] and _crc32(array.read(), done) == checksum:
            return array, done, checksum
        array.close()
    except (OSError, ValueError, TypeError, EOFError):
        pass  # nothing, or nothing usable
    if (partial / _DONE).exists():
        LOG.warning("%s does not match its checksum; starting it again", partial)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return RowsFile(path, shape, dtype), 0, 0


def _open(final: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """The array, or None when it is absent or does not match its checksum."""
    try:
        expected = json.loads((final / _CHECKSUM).read_bytes())
        array = np.load(final / _ARRAY, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(expected, dict) or array.shape != shape or array.dtype != dtype:
        return None
    if list(shape) != expected.get("shape"):
        return None
    return array if _crc32(array, shape[0]) == expected.get("crc32") else None


def _crc32(array: np.ndarray, count: int) -> int:
    """Of the first rows."""
    checksum = 0
    for start in range(0, count, _CHUNK):
        rows = array[start : min(start + _CHUNK, count)]
        checksum = zlib.crc32(_bytes(np.ascontiguousarray(rows)), checksum)
    return checksum


def _bytes(rows: np.ndarray) -> memoryview:
    return rows.reshape(-1).view(np.uint8).data
