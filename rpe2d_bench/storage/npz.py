"""Arrays of an .npz a few rows at a time: numpy reads a compressed array whole, however large it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO
from zipfile import ZipFile

import numpy as np


def header(archive: ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether in Fortran's order, dtype) of an array; raises KeyError where there is none of that name."""
    with archive.open(f"{name}.npy") as file:
        return _header(file)


def held_bytes(archive: ZipFile, name: str) -> int:
    """Bytes of an array's numbers that the archive has, whatever its header claims."""
    with archive.open(f"{name}.npy") as file:
        _header(file)
        return archive.getinfo(f"{name}.npy").file_size - file.tell()


def rows(archive: ZipFile, name: str, length: int, limit: int | None = None, start: int = 0) -> Iterator[np.ndarray]:
    """The rows of an array in C's order from `start` on, `length` at a time, at most `limit`.

    Raises EOFError where the file ends early.
    """
    with archive.open(f"{name}.npy") as file:
        (count, *rest), fortran, dtype = _header(file)
        if fortran:
            raise ValueError(f"{name} is in Fortran's order")
        left = count - start if limit is None else min(limit, count - start)
        file.seek(start * dtype.itemsize * math.prod(rest), 1)
        while left:
            part = np.empty((min(length, left), *rest), dtype)
            free = part.reshape(-1).view(np.uint8).data
            while free:
                if not (number := file.readinto(free)):  # type: ignore[attr-defined]
                    raise EOFError(f"{name} ends before its {count} rows do")
                free = free[number:]
            left -= len(part)
            yield part


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
