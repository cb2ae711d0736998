"""What lets one changed bit be found: documents and files that carry their own digest.

A JSON object carries it as the member `sha256`, over its other members in canonical form: however the object is
formatted, the same values have the same digest. A binary file carries it as its end.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rpe2d_bench.storage.files import sha256_of_json, write_atomically

DIGEST = "sha256"
_MARK = b"\nrpe2d-bench sha256 "  # of a file's end: mark, 64 hexadecimal digits, line feed
_END = len(_MARK) + 64 + 1


class Damaged(Exception):
    """What was read is not what was written; the message says in what way."""


def stamped(document: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with its digest. It must be as JSON gives it back: lists, not tuples, and text as keys."""
    return document | {DIGEST: sha256_of_json(document)}


def unstamped(document: Any) -> dict[str, Any]:
    """The object without its digest. Raises Damaged where it does not match, KeyError where there is none."""
    if not isinstance(document, dict):
        raise Damaged("is not a JSON object")
    content = {name: value for name, value in document.items() if name != DIGEST}
    if document[DIGEST] != sha256_of_json(content):
        raise Damaged("does not match its digest")
    return content


def read_stamped(path: Path) -> dict[str, Any]:
    """A file that holds one object with its digest, without the digest.

    Raises FileNotFoundError, KeyError where the object has no digest, and Damaged.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise Damaged("is not JSON") from None
    return unstamped(document)


def write_with_digest(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a file, add the digest of its bytes, and put it in the place of `path`; raises OSError."""

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            writer = _Hashing(file)
            try:
                write(writer)  # type: ignore[arg-type]
            except Exception as error:
                raise writer.failure or error from None  # torch hides a full disk in a RuntimeError
            file.write(_MARK + writer.sha256.hexdigest().encode("ascii") + b"\n")

    write_atomically(path, fill)


@contextmanager
def open_with_digest(path: Path) -> Iterator[BinaryIO]:
    """What was written before the digest, as a file. Raises Damaged where there is none, or where it does not match."""
    with path.open("rb") as file:
        length = max(0, file.seek(0, os.SEEK_END) - _END)
        file.seek(length)
        end = file.read(_END)
        if not end.startswith(_MARK):
            raise Damaged("has no digest")
        if end != _MARK + _sha256(file, length).encode("ascii") + b"\n":
            raise Damaged("does not match its digest")
        yield io.BufferedReader(_Front(file, length))


def _sha256(file: BinaryIO, length: int) -> str:
    return hashlib.file_digest(_Front(file, length), "sha256").hexdigest()


class _Hashing:
    """A file to write to that knows the digest of what was written, and why writing failed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.sha256.update(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()


class _Front(io.RawIOBase):
    """The first bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        super().__init__()
        self._file, self._length, self._at = file, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        room = max(0, min(len(buffer), self._length - self._at))
        self._file.seek(self._at)
        piece = self._file.read(room)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
