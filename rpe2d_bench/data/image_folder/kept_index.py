"""What was found out about large files by reading them through, kept for later processes.

One file for each set of files as they were written, in the user's cache folder ($XDG_CACHE_HOME or ~/.cache); it may be
deleted at any time, and where it cannot be written all is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from rpe2d_bench.storage.files import write_atomically

Arrays = dict[str, np.ndarray]
HELD = 8  # of these a process holds in memory
_HELD: dict[str, Arrays] = {}
_LOOKING = threading.RLock()


def kept(what: str, files: Sequence[Path], make: Callable[[], Arrays]) -> Arrays:
    """What `make` finds in the files: made once for these paths, sizes and times of change."""
    key = hashlib.sha256(json.dumps([what, [written(file) for file in files]]).encode()).hexdigest()
    with _LOOKING:
        if key not in _HELD:
            _HELD[key] = _read_or_made(_folder() / f"{key}.npz", make)
            if len(_HELD) > HELD:
                del _HELD[next(iter(_HELD))]
        return _HELD[key]


def written(file: Path) -> tuple[str, int, int]:
    """Path, size and time of change: another file in its place is another file. Raises OSError where there is none."""
    status = file.stat()
    return str(file.resolve()), status.st_size, status.st_mtime_ns


def _read_or_made(file: Path, make: Callable[[], Arrays]) -> Arrays:
    with suppress(OSError, ValueError, EOFError, KeyError, BadZipFile), np.load(file) as arrays:
        return dict(arrays)
    found = make()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda temporary: _save(temporary, found), durable=False)
    return found


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "rpe2d-bench" / "indices"


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
