"""The pictures of a sampling under way, on disk, so that one that was interrupted goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from rpe2d_bench.store import write_json

_PICTURES, DONE = "under_way.npy", "under_way.json"


class Parts:
    """uint8 pictures [N, C, Y, X] that are filled from the front."""

    def __init__(self, folder: Path, shape: tuple[int, ...], every: float) -> None:
        """Continues what an earlier attempt left; every: seconds between two notes of how far it is."""
        self._folder, self._every = folder, every
        self._began = self._noted = time.perf_counter()
        self.done, self.seconds = 0, 0.0  # pictures, and time spent on them in earlier attempts
        try:
            done, seconds = json.loads((folder / DONE).read_text())
            self.pictures = np.lib.format.open_memmap(folder / _PICTURES, mode="r+")
            if self.pictures.shape == shape:
                self.done, self.seconds = int(done), float(seconds)
        except (OSError, ValueError, TypeError):
            pass  # nothing, or nothing usable
        if not self.done:
            self.pictures = np.lib.format.open_memmap(folder / _PICTURES, mode="w+", dtype=np.uint8, shape=shape)

    def add(self, pictures: np.ndarray, stopping: bool = False) -> None:
        """The next pictures; when stopping, they are safe on return."""
        self.pictures[self.done : self.done + len(pictures)] = pictures
        self.done += len(pictures)
        now = time.perf_counter()
        if stopping or now - self._noted > self._every:
            self.pictures.flush()
            write_json(self._folder / DONE, [self.done, self.seconds + now - self._began])
            self._noted = now

    def remove(self) -> None:
        """The pictures are elsewhere now."""
        del self.pictures
        for name in (DONE, _PICTURES):
            (self._folder / name).unlink(missing_ok=True)
