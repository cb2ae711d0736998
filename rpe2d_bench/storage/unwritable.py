"""What cannot be written, as one sentence: before it is computed where that can be known, and otherwise then."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpe2d_bench.errors import UserError


class Unwritable(UserError):
    """The store cannot be written: nothing that is still to do can be done, and nothing finished is lost."""


def way_to(path: Path) -> Path:
    """The path where it is there, otherwise the first folder above it that is; or a file, which is in the way."""
    return next((part for part in (path, *path.absolute().parents) if part.exists()), path)


def require_folder(path: Path, option: str) -> None:
    """Raises UserError unless files can be written into a folder that is there, or can be made; nothing is left."""
    there = way_to(path)
    if not there.is_dir():
        raise UserError(f"{option} {path}: {there} is a file; name a folder")
    try:
        with tempfile.TemporaryFile(dir=there):  # who may write depends on more than the folder's mode
            pass
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UserError(f"{option} {path}: {there} cannot be written ({reason}); name another") from None


def require_file(path: Path, option: str) -> None:
    """Raises UserError unless a file of that name can be written; nothing is left."""
    if path.is_dir():
        raise UserError(f"{option} {path}: is a folder; name a file")
    require_folder(path.parent, option)
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{option} {path}: cannot be written (Permission denied); name another")


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turns what a full, limited or read-only disk raises into one sentence: Unwritable."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _errno_in(str(error))
        if number is None:
            raise
        named = getattr(error, "filename", None)
        if isinstance(named, str) and not Path(named).absolute().is_relative_to(root):  # such as an image of the user's
            raise UserError(f"{named}: {os.strerror(number)}") from error
        raise Unwritable(
            f"the store {root} cannot be written ({os.strerror(number)}); free space or choose another with "
            "--store DIR, then run the same command again: nothing finished is lost"
        ) from error


def _errno_in(message: str) -> int | None:
    """The number in what safetensors' writer raises, which is no OSError."""
    found = re.search(r"\(os error (\d+)\)", message)
    return int(found[1]) if found else None
