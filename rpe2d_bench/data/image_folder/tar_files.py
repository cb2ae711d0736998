"""Shards of webdataset: uncompressed tars in which a sample is KEY.jpg beside KEY.cls or KEY.json; or tars of folders.

A class is the content of .cls, or `label` in .json; a tar without either is what a folder is, CLASS/ID.ext. Headers are
read once, samples wherever they lie, one handle a shard and process.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from rpe2d_bench.data.image_folder.decoding import EXTENSIONS
from rpe2d_bench.data.image_folder.files import MAX_BYTES, too_large
from rpe2d_bench.data.image_folder.kept_index import written
from rpe2d_bench.data.image_folder.shards import Found, Shards, class_folders, index
from rpe2d_bench.data.image_folder.zip_index import inside
from rpe2d_bench.errors import UserError

OPEN = 128  # shards that a process keeps open
_Place = tuple[int, int]


class Tar(Shards):
    """Samples of one or more tars."""

    def __init__(self, path: Path, shards: tuple[Path, ...]) -> None:
        super().__init__(path, shards, index("tar", shards, lambda: _found(shards)))

    def _contents(self, names: Sequence[str], places_N3: np.ndarray) -> Iterator[bytes]:
        for name, (shard, first, size) in zip(names, places_N3.tolist(), strict=True):
            if size > MAX_BYTES:
                raise too_large(f"{name} in {self._shards[shard]}", size)
            yield _read(self._shards[shard], (first, size), name)


class _Handle:
    """An open file that is closed when nobody reads from it any more; reading moves no position that threads share."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(maxsize=OPEN)
def _opened(path: str, _size: int, _changed: int) -> _Handle:
    return _Handle(path)


def _read(shard: Path, place: _Place, name: str) -> bytes:
    first, size = place
    try:
        content = os.pread(_opened(*written(shard)).number, size, first)
    except OSError as error:
        raise UserError(f"{name} in {shard} cannot be read ({error.strerror})") from None
    if len(content) < size:
        raise UserError(f"{name} in {shard} is cut off; copy or download the file again")
    return content


@dataclass
class _Members:
    """One tar's members by what they are for."""

    files: dict[str, _Place] = field(default_factory=dict)  # all
    links: list[str] = field(default_factory=list)

    @property
    def images(self) -> list[str]:
        return [name for name in self.files if not _base(name).startswith(".") and name.lower().endswith(EXTENSIONS)]


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _key(name: str) -> str:
    """What the files of a sample have in common: the name up to the first dot behind its folders."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _found(shards: Sequence[Path]) -> list[Found]:
    members = [_members(shard) for shard in shards]
    labels = [_labels(shard, of) for shard, of in zip(shards, members, strict=True)]
    if not any(labels):
        return [Found(list(of.files), list(of.files.values()), of.links) for of in members]
    images: list[tuple[int, str, str]] = []  # shard, name, key
    for number, of in enumerate(members):
        first: dict[str, str] = {}
        for name in of.images:
            key = _key(name)
            if key in first:
                raise UserError(
                    f"{shards[number]} has two images in the sample {key}, {first[key]} and {name}, and which one is "
                    "meant cannot be known; leave one"
                )
            if key not in labels[number]:
                raise UserError(
                    f"{shards[number]} has no class for {name}, which others have; write it as {_base(key)}.cls"
                )
            first[key] = name
            images.append((number, name, key))
    if not images:
        raise UserError(f"{shards[0]} has classes but no images ({', '.join(EXTENSIONS)}) beside them")
    try:
        folders = class_folders([labels[number][key] for number, _, key in images])
    except UserError as error:
        raise UserError(f"{shards[0]}: {error}") from None
    found = [Found([], [], of.links) for of in members]
    for (number, name, _), folder in zip(images, folders, strict=True):
        found[number].names.append(f"{folder}/{name.replace('/', '-')}")
        found[number].places.append(members[number].files[name])
    for number, of in enumerate(members):
        used = set(of.images)
        rest = {name: place for name, place in of.files.items() if name not in used and not _is_label(name)}
        found[number].names.extend(rest)
        found[number].places.extend(rest.values())
    return found


def _members(shard: Path) -> _Members:
    found = _Members()
    try:
        with tarfile.open(shard, "r:", encoding="utf-8") as tar:
            for item in tar:
                name = inside(item.name, str(shard))
                if not item.isreg() or item.issparse():
                    if not item.isdir():
                        found.links.append(name)
                elif name in found.files:
                    raise UserError(
                        f"{shard} holds {name!r} twice, and which one is meant cannot be known; write it again"
                    )
                else:
                    found.files[name] = (item.offset_data, item.size)
            ended, size = tar.offset, shard.stat().st_size
        if os.pread(_opened(*written(shard)).number, tarfile.BLOCKSIZE, ended).strip(b"\0") or ended == size:
            raise tarfile.ReadError(f"no end where it should be, at byte {ended:,}")  # tarfile takes it for the end
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        if _packed(shard):
            raise UserError(
                f"{shard} is compressed; unpack it to .tar, so that samples can be read one by one"
            ) from None
        raise UserError(
            f"{shard} cannot be read as a tar ({error}); if it was copied or downloaded, do that again"
        ) from None
    return found


def _packed(shard: Path) -> bool:
    """Whether a file begins as gzip, bzip2, xz or Zstandard do."""
    try:
        with shard.open("rb") as file:
            return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
    except OSError:
        return False


def _is_label(name: str) -> bool:
    return name.endswith((".cls", ".json"))


def _labels(shard: Path, members: _Members) -> dict[str, int | str]:
    """The class of each sample's key, of those that have one."""
    found: dict[str, int | str] = {}
    keys = {_key(name) for name in members.images}
    for name, place in members.files.items():
        key = _key(name)
        if key not in keys or not _is_label(name) or (name.endswith(".json") and key in found):
            continue
        try:
            text = _read(shard, place, name).decode()
            label = text.strip() if name.endswith(".cls") else json.loads(text).get("label")
        except (ValueError, AttributeError):
            raise UserError(f"{name} in {shard} cannot be read as a class; write its number or name") from None
        if label is not None:
            found[key] = label
    return found
