"""An array on disk that is filled row by row, by writing and not through a memory map.

Where a disk is full, a write raises OSError; a page of a memory map that cannot be written kills the process.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np


class RowsFile:
    """A .npy file that is written to; a context manager that closes it."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any] | type, *, keep: bool = False) -> None:
        """keep: write into what an earlier attempt left there; raises ValueError where that is another array."""
        self.path, self._dtype = path, np.dtype(dtype)
        self._row = math.prod(shape[1:]) * self._dtype.itemsize
        if keep:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            if found.shape != shape or found.dtype != self._dtype or not found.flags.c_contiguous:
                raise ValueError(f"{path.name} holds another array")
            self._offset = int(found.offset)
            del found
            self._file = path.open("r+b")
            return
        self._file = path.open("w+b")
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._offset = self._file.tell()
        self._file.truncate(self._offset + shape[0] * self._row)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Put rows where they belong. Raises OSError where the disk is full."""
        self._file.seek(self._offset + start * self._row)
        self._file.write(np.ascontiguousarray(rows, self._dtype).reshape(-1).view(np.uint8).data)

    def sync(self) -> None:
        """What was written outlives a loss of power."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def read(self) -> np.ndarray:
        """The array, mapped from disk, read only."""
        self._file.flush()
        found: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return found

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
