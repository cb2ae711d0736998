"""Files below an address that pyarrow knows (s3://, gs://, hdfs://, file://); what goes wrong is one sentence.

A file is there whole or not at all. Credentials, region and endpoint come from the environment and the address.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import IO, Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import write_atomically
from rpe2d_bench.storage.unwritable import Unwritable

PATIENCE = 30  # seconds
_PIECE = 8 * 2**20
_DENIED = re.compile("ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|CREDENTIALS|AccessDenied|HTTP status 40[13]|FORBIDDEN")
_WITH_FOLDERS = ("local", "hdfs", "mock")  # where a file needs its folder, and half a file can be seen


class Bucket:
    """Files by their path below an address, with / between its parts."""

    def __init__(self, address: str) -> None:
        """Raises UserError where pyarrow knows no such address, or it can't be reached or read."""
        try:
            from pyarrow import fs
        except ImportError:
            raise UserError(f"the store {address}: addresses need pyarrow; write: pip install pyarrow") from None
        self.address = address
        try:
            self._fs, path = fs.FileSystem.from_uri(_impatient(address))
        except Exception as error:  # of the address, of what a file system needs to be installed, or of the network
            raise UserError(f"the store {address} {_reason(error)}") from None
        self._selector, self._missing, self._is_file = fs.FileSelector, fs.FileType.NotFound, fs.FileType.File
        self._root = path.rstrip("/")
        self._folders = self._fs.type_name in _WITH_FOLDERS
        if not self._folders:
            name = self._root.partition("/")[0]
            with self._saying():
                if self._fs.get_file_info(name).type == self._missing:
                    raise UserError(f"the store {address}: there is no bucket {name!r}; make it, or mend the address")

    def read(self, path: str) -> bytes | None:
        """What a file holds; None where there is none."""
        with self._saying(), suppress(FileNotFoundError), self._fs.open_input_stream(self._at(path)) as file:
            content: bytes = file.read()
            return content
        return None

    def write(self, path: str, content: bytes) -> None:
        """Put a file in the place of what was there."""
        with self._saying(), self._open(path) as file:
            file.write(content)

    def upload(self, source: Path, path: str) -> None:
        """The same with a file of this machine. Raises OSError where that can't be read."""
        with source.open("rb") as local:
            self.put(local, path)

    def put(self, source: IO[bytes], path: str) -> None:
        """The same with a file that is open."""
        with self._saying(), self._open(path) as file:
            shutil.copyfileobj(source, file, _PIECE)

    def download(self, path: str, target: Path) -> bool:
        """Put a file into this machine's disk; whether there is one. Raises OSError where the disk is full."""

        def fill(temporary: Path) -> None:
            with temporary.open("wb") as local, self._saying(), self._fs.open_input_stream(self._at(path)) as file:
                while piece := self._piece(file):
                    local.write(piece)

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(target, fill, durable=False)
        except FileNotFoundError:
            return False
        return True

    def files(self, under: str) -> dict[str, tuple[int, float]]:
        """Path of every file below a folder -> bytes, and seconds since the epoch when it was written."""
        with self._saying():
            found = self._fs.get_file_info(self._selector(self._at(under), recursive=True, allow_not_found=True))
        start = len(self._root) + 1
        return {
            info.path[start:]: (info.size or 0, (info.mtime_ns or 0) / 1e9)
            for info in found
            if info.type == self._is_file
        }

    def remove(self, path: str) -> None:
        """A file, if there is one."""
        with self._saying(), suppress(FileNotFoundError):
            self._fs.delete_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        """Everything below, if there is anything."""
        with self._saying(), suppress(FileNotFoundError):
            self._fs.delete_dir(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _open(self, path: str) -> Iterator[Any]:
        """A file to be written; what is interrupted leaves what was there."""
        whole = place = self._at(path)
        if self._folders:
            self._fs.create_dir(whole.rpartition("/")[0], recursive=True)
            place = f"{whole}.{os.getpid()}.{time.monotonic_ns()}.part"
        file = self._fs.open_output_stream(place)
        try:
            yield file
        except BaseException:
            with suppress(Exception):  # pyarrow can end an upload, but not abort it
                file.close()
                self._fs.delete_file(place)
            raise
        file.close()
        if self._folders:
            self._fs.move(place, whole)

    def _piece(self, file: Any) -> bytes:
        with self._saying():
            content: bytes = file.read(_PIECE)
            return content

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """Turns what a file system raises into a sentence: Unwritable, which ends a run."""
        try:
            yield
        except (UserError, FileNotFoundError):
            raise
        except (OSError, ValueError) as error:
            raise Unwritable(f"the store {self.address} {_reason(error)}; nothing finished is lost") from error


@lru_cache(maxsize=4)
def bucket_at(address: str, _folder: Path, _process: int) -> Bucket:
    """One connection a process and folder of copies, which tells endpoints apart. Raises as Bucket does."""
    return Bucket(address)


def _impatient(address: str) -> str:
    """Google's client tries for 15 minutes where nobody says otherwise."""
    if not re.match("(gs|gcs)://", address) or "retry_limit_seconds" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds={PATIENCE}"


def _reason(error: Exception) -> str:
    text = str(error)
    if _DENIED.search(text):
        return (
            "refuses access; give credentials that may read and write it, by AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the file that GOOGLE_APPLICATION_CREDENTIALS names"
        )
    if any(word in text for word in ("NETWORK_CONNECTION", "imeout", "curlCode", "Could not resolve")):
        details = shorten(text.rpartition("Details: ")[2], 120, placeholder=" ...")
        return f"can't be reached ({details}); look at the network, AWS_ENDPOINT_URL and endpoint_override"
    return f"can't be used ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return shorten((str(error).strip().splitlines() or [type(error).__name__])[0], 200, placeholder=" ...")
