"""The images of a sampling under way, on disk, so that one that was interrupted goes on.

Every note of how far it is holds a digest of the images since the note before, and one of itself: what was changed
on disk in between is found, and the sampling goes on from the last images that are as they were written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.rows_file import RowsFile

_IMAGES, DONE = "under_way.npy", "under_way.json"
_PIECE = 64  # images read at a time to be compared


class Parts:
    """uint8 images [N, C, Y, X] that are filled from the front."""

    def __init__(
        self, folder: Path, shape: tuple[int, ...], every: float, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Continues what an earlier attempt left; every: seconds between two notes of how far it is."""
        self._folder, self._every = folder, every
        self._began = self._noted = time.perf_counter()
        self.seconds = 0.0  # spent on the images in earlier attempts
        self._parts: list[list[Any]] = []  # of each note: images until there, digest of those since the note before
        try:
            self._file = self._continued(shape, say)
        except (OSError, ValueError, TypeError, EOFError, Damaged) as error:
            if (folder / DONE).exists():
                why = f"{DONE} {error}" if isinstance(error, Damaged) else f"{_IMAGES} can't be read"
                say(f"images under way: {why}; starting again")
            self._parts, self.seconds = [], 0.0
            self._file = RowsFile(folder / _IMAGES, shape, np.uint8)
        self.done = self._parts[-1][0] if self._parts else 0
        self._since = hashlib.sha256()

    def add(self, images: np.ndarray, stopping: bool = False) -> None:
        """The next images; when stopping, they are safe on return. Raises OSError where the disk is full."""
        rows = np.ascontiguousarray(images, np.uint8)
        self._file.write(self.done, rows)
        self._since.update(rows.reshape(-1).data)
        self.done += len(rows)
        now = time.perf_counter()
        if stopping or now - self._noted > self._every:
            self._file.sync()
            parts = [*self._parts, [self.done, self._since.hexdigest()]]
            write_json(self._folder / DONE, stamped({"parts": parts, "seconds": self.seconds + now - self._began}))
            self._parts, self._since, self._noted = parts, hashlib.sha256(), now

    @property
    def images(self) -> np.ndarray:
        """All of them, mapped from disk."""
        return self._file.read()

    def keep(self, name: str) -> None:
        """All images are there: the file gets its name, and the notes go."""
        self._file.close()
        (self._folder / _IMAGES).rename(self._folder / name)
        (self._folder / DONE).unlink(missing_ok=True)

    def remove(self) -> None:
        """The images are elsewhere now."""
        self._file.close()
        for name in (DONE, _IMAGES):
            (self._folder / name).unlink(missing_ok=True)

    def _continued(self, shape: tuple[int, ...], say: Callable[[str], None]) -> RowsFile:
        """The file of an earlier attempt; what of it is as it was written is in `_parts` and `seconds` then."""
        try:
            note = read_stamped(self._folder / DONE)
        except KeyError:
            raise Damaged("has no digest") from None
        file = RowsFile(self._folder / _IMAGES, shape, np.uint8, keep=True)
        images, start = file.read(), 0
        for stop, digest in note["parts"]:
            if _digest(images[start:stop]) != digest:
                say(f"images under way: {start} to {stop - 1} do not match their digest; going on from {start}")
                break
            self._parts.append([stop, digest])
            start = stop
        self.seconds = float(note["seconds"])
        return file


def _digest(images: np.ndarray) -> str:
    """sha256 of the bytes of some images."""
    found = hashlib.sha256()
    for start in range(0, len(images), _PIECE):
        found.update(np.ascontiguousarray(images[start : start + _PIECE]).reshape(-1).data)
    return found.hexdigest()
