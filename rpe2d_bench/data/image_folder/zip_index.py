"""The index of a zip by normalised names, parsed once a process and content."""

from __future__ import annotations

import lzma
import stat
import threading
import zipfile
import zlib
from functools import lru_cache

from rpe2d_bench.errors import UserError

METHODS = {9: "Deflate64, which Windows Explorer writes above 2 GB", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES"}
# What zipfile raises for archives that are damaged, cut off, encrypted or packed by a method it does not know.
UNREADABLE_ZIP = (
    OSError, ValueError, EOFError, RuntimeError, OverflowError, LookupError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


class Archive:
    """An open zip and its index by normalised names."""

    def __init__(self, path: str) -> None:
        self.zip = zipfile.ZipFile(path)
        self.files: dict[str, zipfile.ZipInfo] = {}
        self.folders: set[str] = set()
        self.links: list[str] = []
        for item in self.zip.infolist():
            name = inside(item.filename, path)
            if not name:
                continue
            self.folders.update(above(name))
            if item.is_dir() or item.filename.endswith("\\"):
                self.folders.add(name)
            elif stat.S_ISLNK(item.external_attr >> 16):
                self.links.append(name)
            elif name in self.files:
                raise UserError(f"{path} holds {name!r} twice, and which one is meant cannot be known; zip again")
            else:
                self.files[name] = item


def inside(written: str, archive: str) -> str:
    """A name of an archive's member with '/' between its parts; UserError where it leads out of the archive."""
    name = written.replace("\\", "/")  # some tools on Windows write these
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise UserError(f"{archive} holds {written!r}, which leads out of it; pack the folder again")
    return "/".join(parts)


def above(name: str) -> list[str]:
    """The folders that a file lies in."""
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


_OPENING = threading.Lock()


def opened(path: str, modified: int, size: int, process: int) -> Archive:
    """The archive of a path, as it was written then, for a process (its place in the file is nobody else's)."""
    with _OPENING:
        return _cached(path, modified, size, process)


@lru_cache(maxsize=4)  # an index of a million entries takes seconds to parse; the key names content and process
def _cached(path: str, modified: int, size: int, process: int) -> Archive:
    return Archive(path)
