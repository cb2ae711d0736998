"""What images can lie in: a folder, a zip, tar shards, parquet. A further kind is a file here and a line below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rpe2d_bench.data.image_folder.files import Files, Folder, Zip
from rpe2d_bench.data.image_folder.parquet_files import Parquet
from rpe2d_bench.data.image_folder.shards import shard_files
from rpe2d_bench.data.image_folder.tar_files import Tar
from rpe2d_bench.errors import UserError

SHARDS: dict[str, Callable[[Path, tuple[Path, ...]], Files]] = {
    ".tar": Tar,
    ".parquet": Parquet,
}
WANTED = "give a folder, a zip, .tar or .parquet files of images"


def present(path: Path) -> bool:
    """Whether there is anything at a path or pattern; raises UserError where a part of what it names is missing."""
    return path.exists() or bool(shard_files(path))


def open_files(path: Path) -> Files:
    """The files at a path or pattern; raises UserError where there are none that can be read."""
    if shards := shard_files(path):
        return SHARDS[shards[0].suffix.lower()](path, shards)
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Zip(path)
    raise UserError(f"data.path: {path} does not exist; {WANTED}")
