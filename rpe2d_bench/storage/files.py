"""How this project writes, names and guards files: replaced whole or not at all, sha256, one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let `write` fill a temporary file and put it in the place of `path`; durable: it outlives a loss of power."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        if durable:
            sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Put a file in the place of `path`."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, data: Any, *, durable: bool = True) -> None:
    """Write JSON so that a reader sees the old or the new file, never a part."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(data, indent=1)), durable=durable)


def read_json(path: Path) -> Any:
    """What a file holds. Raises OSError and ValueError."""
    return json.loads(path.read_bytes())


def object_in(content: bytes | None) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    try:
        found = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def sync(path: Path) -> None:
    """What was written to a file, or renamed in a folder, outlives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    """Of its bytes, hexadecimal. Raises OSError where it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_unchanged(path: Path) -> str:
    """The same, read once as long as the file's size and time of change stay."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    return sha256_of_file(path)


def sha256_of_json(document: Any, *, allow_nan: bool = True) -> str:
    """Of a JSON value in canonical form: members sorted, no spaces, ASCII, numbers as Python writes them.

    Raises ValueError for numbers that are not finite unless they are allowed.
    """
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=allow_nan)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None, every: float | None = None) -> Iterator[IO[bytes]]:
    """The file, open for reading and appending, held by this process alone; it is made where it is absent.

    waiting: called when another process has it, and again `every` so many seconds; what it raises ends the wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as file:
            _take(file, waiting, every)
            held = os.fstat(file.fileno())
            now = None
            with suppress(FileNotFoundError):
                now = path.stat()
            if now is not None and (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino):
                yield file
                return
            # somebody put another file in its place while we waited


def held(path: Path) -> bool:
    """Whether a process holds the lock at `path` just now."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:  # where nobody ever worked there is no file
        return isinstance(error, BlockingIOError)
    return False


def _take(file: IO[bytes], waiting: Callable[[], None], every: float | None) -> None:
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
        if every is None:
            return fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(every)
