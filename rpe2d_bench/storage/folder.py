"""What names a store: a folder; light to import."""

from __future__ import annotations

import re
from pathlib import Path

from rpe2d_bench.errors import UserError


def folder_of_store(name: str | Path) -> Path:
    """The folder that a store's name means. Raises UserError for an address such as s3://bucket/runs."""
    if scheme := re.match("([A-Za-z][A-Za-z0-9+.-]+):/", str(name)):  # a Path has lost one of the slashes
        raise UserError(
            f"the store {name}: {scheme[1]} addresses are not supported; name a folder, such as one where the bucket"
            " is mounted with working locks (flock) and atomic renames"
        )
    return Path(name)
