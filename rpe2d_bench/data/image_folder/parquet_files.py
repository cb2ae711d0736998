"""Parquet as Hugging Face writes it: a column of images {bytes, path} and a column `label`.

Names and classes are read once, images by row group when they are asked for: of several in a group that are asked for
together, the group is read once. The last groups are held in memory, at most GROUPS_BYTES of them.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.data.image_folder.files import MAX_BYTES, too_large
from rpe2d_bench.data.image_folder.kept_index import written
from rpe2d_bench.data.image_folder.shards import Found, Shards, class_folders, index
from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

TOGETHER = 256  # images that are read before the first of them is handed out, so that groups are read once
GROUPS_BYTES = 2**28
OPEN = 128  # shards that a process keeps open
LABEL = "label"


class Parquet(Shards):
    """Images of one or more parquet files."""

    def __init__(self, path: Path, shards: tuple[Path, ...]) -> None:
        super().__init__(path, shards, index("parquet", shards, lambda: _found(shards)))

    def _contents(self, names: Sequence[str], places_N3: np.ndarray) -> Iterator[bytes]:
        for start in range(0, len(names), TOGETHER):
            rows = places_N3[start : start + TOGETHER, :2]
            held: dict[int, bytes] = {}
            for at in np.lexsort(rows.T[::-1]).tolist():
                shard, row = rows[at].tolist()
                held[at] = self._row(self._shards[shard], row, names[start + at])
            for at in range(len(rows)):
                yield held.pop(at)

    def _row(self, shard: Path, row: int, name: str) -> bytes:
        try:
            content = _opened(*written(shard)).image(row)
        except _errors() as error:
            raise _damaged(shard, error) from None
        if content is None:
            raise UserError(f"{name} in {shard} is a path without an image; write the files' bytes into the column")
        if len(content) > MAX_BYTES:
            raise too_large(f"{name} in {shard}", len(content))
        return content


def _errors() -> tuple[type[BaseException], ...]:
    from pyarrow import ArrowException

    return (OSError, ValueError, ArrowException)


def _damaged(shard: Path, error: BaseException) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"{shard} cannot be read as parquet ({reason}); if it was copied or downloaded, do that again")


class _Open:
    """An open file; groups are read by one thread at a time and shared with the others."""

    def __init__(self, path: str) -> None:
        from pyarrow.parquet import ParquetFile

        try:
            self.file: ParquetFile = ParquetFile(path, memory_map=True)
        except _errors() as error:
            raise _damaged(Path(path), error) from None
        self._lock = threading.Lock()
        meta = self.file.metadata
        self._ends = np.cumsum([meta.row_group(g).num_rows for g in range(meta.num_row_groups)])
        self.column = _image_column(path, self.file.schema_arrow)

    def image(self, row: int) -> bytes | None:
        group = int(np.searchsorted(self._ends, row, side="right"))
        with self._lock:
            images = _GROUPS.get((self, group)) or self._read(group)
        content: bytes | None = images[row - (int(self._ends[group - 1]) if group else 0)].as_py()
        return content

    def _read(self, group: int) -> Any:
        table = self.file.read_row_group(group, columns=[f"{self.column}.bytes"], use_threads=False)
        images = table.column(0).combine_chunks().field("bytes")
        _GROUPS.put((self, group), images)
        return images


class _Groups:
    """The row groups that were used last."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[_Open, int], Any] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def get(self, key: tuple[_Open, int]) -> Any:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: tuple[_Open, int], images: Any) -> None:
        with self._lock:
            self._held[key] = images
            self._bytes += images.nbytes
            while self._bytes > GROUPS_BYTES and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes


_GROUPS = _Groups()


@lru_cache(maxsize=OPEN)
def _opened(path: str, _size: int, _changed: int) -> _Open:
    return _Open(path)


def _image_column(path: str, schema: Any) -> str:
    import pyarrow

    found = [
        part.name for part in schema
        if pyarrow.types.is_struct(part.type) and part.type.get_field_index("bytes") >= 0
    ]  # fmt: skip
    if len(found) != 1 and "image" not in found:
        raise UserError(
            f"{path} has {'several columns' if found else 'no column'} of images (Hugging Face's `image`, with "
            f"the fields bytes and path) among {', '.join(schema.names)}"
        )
    return "image" if "image" in found else found[0]


def _found(shards: Sequence[Path]) -> list[Found]:
    columns = [_columns(shard) for shard in shards]
    meanings = [meaning for _, _, meaning in columns]
    for shard, meaning in zip(shards, meanings, strict=True):
        if meaning != meanings[0]:
            raise UserError(f"{shard} names other classes than {shards[0]}; leave out one of them")
    labels = [label for _, part, _ in columns for label in part]
    if not labels:
        raise UserError(f"{shards[0].parent if len(shards) > 1 else shards[0]} has no rows")
    try:
        folders = iter(class_folders(labels, meanings[0]))
    except UserError as error:
        raise UserError(f"{shards[0]}: {error}") from None
    found = []
    for paths, _, _ in columns:
        bases = [_named(path, row) for row, path in enumerate(paths)]
        if len(set(bases)) < len(bases):  # pages of a book, say: the row tells them apart
            bases = [f"{row:08d}-{base}" for row, base in enumerate(bases)]
        names = [f"{next(folders)}/{base}" for base in bases]
        found.append(Found(names, [(row, 0) for row in range(len(names))], []))
    return found


def _named(path: str | None, row: int) -> str:
    """The file's own name; where the row has none, its number, called a PNG whatever it is."""
    base = (path or "").replace("\\", "/").rpartition("/")[2].lstrip(".")
    return (base if "." in base else f"{base}.png") if base else f"{row:08d}.png"


def _columns(shard: Path) -> tuple[list[str | None], list[int | str], list[str] | None]:
    """Path and class of each row, and what numbers of classes mean."""
    opened = _opened(*written(shard))
    schema = opened.file.schema_arrow
    if LABEL not in schema.names:
        raise UserError(
            f"{shard} has no column `{LABEL}` but {', '.join(schema.names)}; name the column of classes so, or add one "
            "of zeros where there are none"
        )
    within = schema.field(opened.column).type
    wanted = [LABEL] + ([f"{opened.column}.path"] if within.get_field_index("path") >= 0 else [])
    try:
        table = opened.file.read(columns=wanted, use_threads=False)
        labels = table.column(LABEL).to_pylist()
        images: list[Any] = table.column(opened.column).to_pylist() if len(wanted) > 1 else [None] * len(labels)
    except _errors() as error:
        raise _damaged(shard, error) from None
    if odd := [row for row, label in enumerate(labels) if isinstance(label, bool) or not isinstance(label, int | str)]:
        raise UserError(f"{shard} has no class in row {odd[0]}, but {labels[odd[0]]!r}; write its number or name")
    return [image and image["path"] for image in images], labels, _meaning(schema)


def _meaning(schema: Any) -> list[str] | None:
    """Names of the classes, where the file holds those of a ClassLabel of Hugging Face."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[LABEL]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
