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
            name = item.filename.replace("\\", "/")  # some tools on Windows write these
            parts = [part for part in name.split("/") if part not in ("", ".")]
            if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
                raise UserError(f"{path} holds {item.filename!r}, which leads out of it; zip the folder again")
            if not parts:
                continue
            name = "/".join(parts)
            for end in range(1, len(parts)):
                self.folders.add("/".join(parts[:end]))
            if item.is_dir() or item.filename.endswith("\\"):
                self.folders.add(name)
            elif stat.S_ISLNK(item.external_attr >> 16):
                self.links.append(name)
            elif name in self.files:
                raise UserError(f"{path} holds {name!r} twice, and which one is meant cannot be known; zip again")
            else:
                self.files[name] = item


_OPENING = threading.Lock()


def opened(path: str, modified: int, size: int, process: int) -> Archive:
    """The archive of a path, as it was written then, for a process (its place in the file is nobody else's)."""
    with _OPENING:
        return _cached(path, modified, size, process)


@lru_cache(maxsize=4)  # an index of a million entries takes seconds to parse; the key names content and process
def _cached(path: str, modified: int, size: int, process: int) -> Archive:
    return Archive(path)
