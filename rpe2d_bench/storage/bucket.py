"""Files below an address that pyarrow knows (s3://, gs://, abfs://, hdfs://, file://); what goes wrong is one sentence.

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
_DENIED = re.compile(
    "ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|CREDENTIALS|AccessDenied|HTTP status 40[13]|FORBIDDEN"
    "|AuthenticationException|Authentication failed|AuthenticationFailed|Authorization(Failure|Permission)"
)
_WITH_FOLDERS = ("local", "hdfs", "mock")  # where a file needs its folder, and half a file can be seen
_OF_FILES_ALONE = ("gcs", "abfs")  # where pyarrow asks for a folder's own object when it removes one


class Bucket:
    """Files by their path below an address, with / between its parts."""

    def __init__(self, address: str) -> None:
        """Raises UserError where pyarrow knows no such address, or it can't be reached or read."""
        try:
            from pyarrow import ArrowException, fs
        except ImportError:
            raise UserError(f"the store {address}: addresses need pyarrow; write: pip install pyarrow") from None
        self.address = address
        try:
            self._fs, path = fs.FileSystem.from_uri(_complete(address))
        except Exception as error:  # of the address, of what a file system needs to be installed, or of the network
            raise UserError(f"the store {address} {_reason(error)}") from None
        self._failures = (OSError, ValueError, ArrowException)
        self._selector, self._missing, self._is_file = fs.FileSelector, fs.FileType.NotFound, fs.FileType.File
        self._root = path.rstrip("/")
        self._folders = self._fs.type_name in _WITH_FOLDERS
        self._untried = self._fs.type_name == "s3"
        if not self._folders:
            name = self._root.partition("/")[0]
            with self._saying():
                if self._fs.type_name == "abfs":  # asked for a container first, without credentials, pyarrow aborts
                    self._fs.get_file_info(f"{name}/any")
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
        if self._fs.type_name in _OF_FILES_ALONE:
            for file in self.files(path):
                self.remove(file)
            return
        with self._saying(), suppress(FileNotFoundError):
            self._fs.delete_dir(self._at(path))

    def _try(self) -> None:
        """Raises Unwritable where what is written comes back changed: older servers keep what is sent around a file."""
        path, content = f"tried-{os.getpid()}-{time.monotonic_ns()}", b"tried"
        with self._saying(), self._fs.open_output_stream(self._at(path)) as file:
            file.write(content)
        back = self.read(path)
        self.remove(path)
        if back != content:
            raise Unwritable(
                f"the store {self.address}: what is written there comes back changed, as from servers that do not know"
                " the checksums newer clients send; set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
            )

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _open(self, path: str) -> Iterator[Any]:
        """A file to be written; what is interrupted leaves what was there."""
        if self._untried:
            self._try()
            self._untried = False
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
        except self._failures as error:
            raise Unwritable(f"the store {self.address} {_reason(error)}; nothing finished is lost") from error


@lru_cache(maxsize=4)
def bucket_at(address: str, _folder: Path, _process: int) -> Bucket:
    """One connection a process and folder of copies, which tells endpoints apart. Raises as Bucket does."""
    return Bucket(address)


def _complete(address: str) -> str:
    """The address with what pyarrow is told nowhere else.

    Google's client tries for 15 minutes where nobody says otherwise; a signature for Azure is part of its addresses.
    """
    scheme, more = address.partition(":")[0], ""
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in address:
        more = f"retry_limit_seconds={PATIENCE}"
    elif scheme in ("abfs", "abfss"):
        more = os.environ.get("AZURE_STORAGE_SAS_TOKEN", "").lstrip("?")
    return f"{address}{'&' if '?' in address else '?'}{more}" if more else address


def _reason(error: Exception) -> str:
    text = re.sub(r"([?&]sig=)[^&\s]+", r"\1...", str(error))  # Azure's addresses hold the signature
    if _DENIED.search(text):
        return (
            "refuses access; give credentials that may read and write it, by AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, AWS_PROFILE, the file that GOOGLE_APPLICATION_CREDENTIALS names or"
            " AZURE_STORAGE_SAS_TOKEN"
        )
    if any(
        word in text for word in ("NETWORK_CONNECTION", "imeout", "curlCode", "Could not resolve", "Could not connect")
    ):
        details = shorten(
            re.split(r"Details: |Azure Error: \[\] |a last message of ", text)[-1], 120, placeholder=" ..."
        )
        return f"can't be reached ({details}); look at the network, AWS_ENDPOINT_URL and endpoint_override"
    return f"can't be used ({_first_line(text) or type(error).__name__})"


def _first_line(text: str) -> str:
    return shorten((text.strip().splitlines() or [""])[0], 200, placeholder=" ...")
