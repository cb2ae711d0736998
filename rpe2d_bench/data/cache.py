"""Rendered or decoded pictures as one memory-mapped array on disk, made once per content."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np

from rpe2d_bench.data.interface import Dataset, Resolution, Split

_VERSION = 1
_CHUNK = 1024  # pictures rendered at a time


def cached_pictures(
    dataset: Dataset, split: Split, count: int, resolution: Resolution, cache_dir: Path | str
) -> np.ndarray:
    """The first pictures of a split, uint8 [count, C, H, W], memory-mapped (private: writing changes no file).

    Made under a temporary name and renamed; a lock lets one process work while others wait; a checksum is compared on
    opening, and what does not match is made anew.
    """
    directory = Path(cache_dir)
    directory.mkdir(parents=True, exist_ok=True)
    name = json.dumps([_VERSION, dataset.revision, split, count, *resolution])
    key = f"pictures-{resolution[0]}x{resolution[1]}-{hashlib.sha256(name.encode()).hexdigest()[:20]}"
    final = directory / key
    shape = (count, dataset.channels, *resolution)
    found = _open(final, shape)
    if found is not None:
        return found
    with (directory / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _open(final, shape)
        if found is None:
            _make(final, dataset, split, shape)
            found = _open(final, shape)
    if found is None:
        raise OSError(f"{final}: what was just written cannot be read back")
    return found


def _make(final: Path, dataset: Dataset, split: Split, shape: tuple[int, int, int, int]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{final.name}.tmp-", dir=final.parent))
    try:
        path = temporary / "pictures.npy"
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        checksum = 0
        for start in range(0, shape[0], _CHUNK):
            indices = np.arange(start, min(start + _CHUNK, shape[0]))
            pictures = np.ascontiguousarray(dataset.pictures(split, indices, shape[2:]))
            array[indices] = pictures
            checksum = zlib.crc32(pictures.data, checksum)
        array.flush()
        del array
        _write_synced(temporary / "checksum.json", json.dumps({"crc32": checksum, "shape": shape}))
        if final.exists():  # damaged: moved away first, since a directory is not replaced by a rename
            damaged = Path(tempfile.mkdtemp(prefix=f"{final.name}.tmp-", dir=final.parent))
            final.rename(damaged / "damaged")
            shutil.rmtree(damaged, ignore_errors=True)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _open(final: Path, shape: tuple[int, int, int, int]) -> np.ndarray | None:
    """The array, or None when it is absent or does not match its checksum."""
    try:
        expected = json.loads((final / "checksum.json").read_text())
        array = np.load(final / "pictures.npy", mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != np.uint8 or list(shape) != expected.get("shape"):
        return None
    checksum = 0
    for start in range(0, shape[0], _CHUNK):
        checksum = zlib.crc32(np.ascontiguousarray(array[start : start + _CHUNK]).data, checksum)
    return array if checksum == expected.get("crc32") else None
