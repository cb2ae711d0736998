"""How records lie in a file: a JSON object a line, ended by a line feed and by nothing else, each with its own digest.

A line that can't be read costs only itself: readers name it and go on, and the next run moves it, as it is, into
records.rejected.jsonl. Lines without a digest are those of versions before there was one.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rpe2d_bench.storage.digests import DIGEST, Damaged, stamped, unstamped
from rpe2d_bench.storage.files import locked, write_atomically

REJECTED = ".rejected.jsonl"  # instead of .jsonl
COPIES = 2  # of a line that others name, so that none costs them when it is damaged
LONGEST = 2**26  # bytes of a line that is looked at; a record has some thousands
_PIECE = 2**20


@dataclass(frozen=True)
class Line:
    """A line of the file: where it is, and what it holds or why that can't be read."""

    number: int  # from 1
    start: int  # bytes into the file
    stop: int  # behind its line feed
    document: dict[str, Any] | None = None  # without its digest
    vouched: bool = False  # by a digest
    damage: str | None = None


def line_of(document: dict[str, Any]) -> bytes:
    """A line: ASCII, so that no reader takes a character of a text for the end of a line."""
    try:
        plain = json.loads(json.dumps(document, allow_nan=False))
    except ValueError:
        plain = json.loads(json.dumps(_finite(document)))
    return json.dumps(stamped(plain), separators=(",", ":")).encode("ascii") + b"\n"


def read(path: Path) -> Iterator[Line]:
    """The lines of a file, blank ones left out. Raises OSError where it can't be read."""
    with path.open("rb") as file:
        with suppress(OSError):  # a file system without locks; then a line that is being written looks cut off
            fcntl.flock(file, fcntl.LOCK_SH)
        yield from _lines(file)


def append(path: Path, line: bytes, shared: bytes) -> None:
    """Add a line and sync it; safe with several writers on one machine, and after a kill in mid-line.

    shared: a line that this one names, which is added before it unless `COPIES` of it, undamaged, are there.
    Raises OSError where the disk is full; then the file is as it was.
    """
    with locked(path) as file:
        _mend_end(file, path)
        size = file.seek(0, os.SEEK_END)
        try:
            _write(file, line if _holds(file, size, shared) else shared + line)
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(path, size)
            raise


def _holds(file: IO[bytes], size: int, shared: bytes) -> bool:
    """Whether enough copies of a line are there; they stand near the first line that names it."""
    if not size:
        return False
    at = 0
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        for _ in range(COPIES):
            at = content.find(shared, at) + len(shared)
            if at < len(shared):
                return False
    return True


def set_aside(path: Path, rejected: Callable[[list[Line]], list[Line]]) -> list[Line]:
    """Move the lines that are rejected, as they are, into the file beside; returns them. Raises OSError."""
    if not path.exists():
        return []
    with locked(path) as file:
        file.seek(0)
        lines = list(_lines(file))
        moved = rejected(lines)
        if moved:
            with rejected_file(path).open("ab") as beside:
                for line in moved:
                    _copy(file, beside, line)
                beside.flush()
                os.fsync(beside.fileno())
            gone = {line.number for line in moved}
            kept = [line for line in lines if line.number not in gone]

            def fill(temporary: Path) -> None:
                with temporary.open("wb") as fresh:
                    for line in kept:
                        _copy(file, fresh, line)

            write_atomically(path, fill)
        return moved


def rejected_file(path: Path) -> Path:
    """Where lines that can't be read are kept."""
    return path.with_name(path.name.removesuffix(".jsonl") + REJECTED)


def _lines(file: IO[bytes]) -> Iterator[Line]:
    number, start = 0, file.tell()
    while text := file.readline(LONGEST):
        number += 1
        long = len(text) == LONGEST and not text.endswith(b"\n")
        while len(text) == LONGEST and not text.endswith(b"\n") and (more := file.readline(LONGEST)):
            text = more  # the rest of it
        stop = file.tell()
        if long:
            yield Line(number, start, stop, damage=f"is {stop - start} bytes long")
        elif text.strip():
            yield _judged(text, Line(number, start, stop))
        start = stop


def _judged(text: bytes, line: Line) -> Line:
    """A line with what its text holds."""

    def damaged(reason: str) -> Line:
        return Line(line.number, line.start, line.stop, damage=reason)

    try:
        document = json.loads(text.strip(b"\0"))  # a loss of power leaves zeros where a file was about to grow
        if isinstance(document, dict) and DIGEST not in document and text.endswith(b"\n") and b"\0" not in text:
            return Line(line.number, line.start, line.stop, document)
        return Line(line.number, line.start, line.stop, unstamped(document), vouched=True)
    except Damaged as error:
        return damaged(str(error))
    except (ValueError, RecursionError, KeyError):
        return damaged("is not JSON" if text.endswith(b"\n") else "is cut off")


def _mend_end(file: IO[bytes], path: Path) -> None:
    """End a last line that is whole, and move one that a kill has cut off, so that the next line stands alone."""
    end = whole = file.seek(0, os.SEEK_END)
    while whole:
        start = max(0, whole - 4096)
        file.seek(start)
        found = file.read(whole - start).rfind(b"\n")
        if found >= 0:
            whole = start + found + 1
            break
        whole = start
    if whole == end:
        return
    file.seek(whole)
    if end - whole < LONGEST and _judged(file.read(), Line(0, whole, end)).vouched:
        _write(file, b"\n")
        return
    with rejected_file(path).open("ab") as beside:
        _copy(file, beside, Line(0, whole, end))
    file.truncate(whole)


def _write(file: IO[bytes], content: bytes) -> None:
    """Append past the file's buffer, which would keep what finds no room and write it on closing."""
    left = memoryview(content)
    while left:
        left = left[os.write(file.fileno(), left) :]


def _copy(source: IO[bytes], target: IO[bytes], line: Line) -> None:
    """The bytes of a line, with a line feed at their end."""
    source.seek(line.start)
    left, piece = line.stop - line.start, b""
    while left > 0 and (piece := source.read(min(_PIECE, left))):
        target.write(piece)
        left -= len(piece)
    if not piece.endswith(b"\n"):
        target.write(b"\n")


def _finite(value: Any) -> Any:
    """The value with None for numbers that JSON has no word for."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
