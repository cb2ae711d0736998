"""Sets of shards: which files a path means, and what their samples are called.

A sample is called as the file in a folder that it could have been written from, CLASS/ID.ext, so that a folder, a zip
and shards of the same images are the same data set: one order, one split, one revision.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from rpe2d_bench.data.image_folder.decoding import EXTENSIONS
from rpe2d_bench.data.image_folder.files import MAX_BYTES, Entries, too_large
from rpe2d_bench.data.image_folder.kept_index import Arrays, kept
from rpe2d_bench.data.image_folder.listing import named_split
from rpe2d_bench.data.image_folder.zip_index import above
from rpe2d_bench.errors import UserError

KINDS = (".tar", ".parquet")
VERSION = 1  # of an index; raise it when a name or a place changes


def shard_files(path: Path) -> tuple[Path, ...]:
    """The shards that a path means, sorted; none where it is a folder of images, another file, or nothing.

    A path is a file, a folder that holds shards and no folders, or a pattern: `*`, `{00000..00099}`, `{train,val}`.
    Raises UserError where shards are missing or mixed with other things.
    """
    if path.is_dir():
        shards = _listed(path)
    elif path.is_file():
        shards = [path] if path.suffix.lower() in KINDS else []
    else:
        shards = _matched(str(path))
    kinds = sorted({shard.suffix.lower() for shard in shards})
    if len(kinds) > 1 or set(kinds) - set(KINDS):
        raise UserError(f"data.path: {path} is {' and '.join(kinds)} files; give shards of one kind, .tar or .parquet")
    return tuple(sorted(shards))


def _listed(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as inside:
            names = [entry.name for entry in inside if not entry.name.startswith(".")]
    except OSError:
        return []  # whoever reads the folder says so
    shards = [folder / name for name in names if name.lower().endswith(KINDS)]
    if not shards or any((folder / name).is_dir() for name in names):
        return []  # of class folders: what lies beside them is counted there
    if image := next((name for name in names if name.lower().endswith(EXTENSIONS)), None):
        raise UserError(
            f"data.path: {folder} has images ({image}) beside shards ({shards[0].name}), and which are meant cannot be "
            f"known; move one of them, or write {folder}/*{shards[0].suffix}"
        )
    numbered = [match for shard in shards if (match := re.fullmatch(r"(.*)-\d+-of-(\d+)", shard.stem))]
    for (name, total), number in Counter(match.groups() for match in numbered).items():
        if number != int(total):
            raise UserError(f"data.path: {folder} has {number} of {int(total)} files of {name}; copy the others, too")
    return shards


def _matched(pattern: str) -> list[Path]:
    found, absent = [], []
    for name in braces(pattern):
        matches = glob(name)  # noqa: PTH207 (a pattern may begin at the root)
        found += [Path(match) for match in matches]
        absent += [] if matches else [name]
    if found and absent:
        raise UserError(f"data.path: of {pattern}, {absent[0]} does not exist; copy it, too, or leave it out")
    return found


def braces(pattern: str) -> Iterator[str]:
    """The names of a pattern as a shell writes them out: {00..12} and {a,b}."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        yield pattern
        return
    first, last, listed = match.groups()
    parts = listed.split(",") if listed else [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    for part in parts:
        yield from braces(pattern[: match.start()] + part + pattern[match.end() :])


def splits_of(shards: Sequence[Path]) -> list[str]:
    """The folder of each shard's samples, train/ or another, where the files' names tell two splits or more."""
    several = len({shard.parent for shard in shards}) > 1
    named = [named_split(shard.stem) or (named_split(shard.parent.name) if several else None) for shard in shards]
    if len(set(named) - {None}) < 2:
        return [""] * len(shards)
    if None in named:
        other = shards[named.index(None)].name
        raise UserError(f"data.path: {other} is of no split, others are; name it after one, or leave it out")
    return [f"{split}/" for split in named]


def class_folders(labels: Sequence[int | str], names: Sequence[str] | None = None) -> list[str]:
    """The folder of each sample's class, so that class k of a set with numbers stays class k: folders are sorted.

    names: what the numbers mean. Raises UserError for numbers below 0, without a name, or beside words.
    """
    numbers = [int(label) if re.fullmatch(r"-?\d+", str(label).strip()) else None for label in labels]
    if None in numbers:
        if set(numbers) != {None}:
            word = str(labels[numbers.index(None)])
            raise UserError(f"some classes are numbers, others words ({word!r}); write all in one way")
        folders = {str(label): re.sub(r"[/\\]", "_", str(label).strip()) for label in set(labels)}
        if "" in folders.values():
            raise UserError("a class is empty; give its name or number")
        return [folders[str(label)] for label in labels]
    known = {number for number in numbers if number is not None}
    low, high = min(known), max(known)
    if low < 0 or (names is not None and high >= len(names)):
        raise UserError(
            f"the class {low if low < 0 else high} is none; leave out samples without a class, a test split perhaps"
        )
    words = [re.sub(r"[/\\]", "_", name) for name in names or ()]
    if names is None:
        width = len(str(high))
        folder = {number: f"{number:0{width}d}" for number in known}
    elif words == sorted(set(words)):
        folder = {number: words[number] for number in known}
    else:  # another order than the alphabet's, or a name twice
        width = len(str(len(words) - 1))
        folder = {number: f"{number:0{width}d} {words[number]}" for number in known}
    return [folder[number] for number in numbers if number is not None]


@dataclass(frozen=True)
class Found:
    """What a shard holds: names without their shard's split, and the place of each."""

    names: list[str]
    places: list[tuple[int, int]]  # (first byte, bytes) in a tar, (row, 0) in a parquet file
    links: list[str]


def index(kind: str, shards: Sequence[Path], read_all: Callable[[], list[Found]]) -> Arrays:
    """Sorted names (JSON in `entries`) and the place of each, int64 [N, 3]: shard, and two numbers; kept.

    Where shards name samples alike, the shard's name stands in front of the sample's. UserError where one shard does.
    """

    def make() -> Arrays:
        found, splits = read_all(), splits_of(shards)
        every = [name for shard in found for name in shard.names]
        repeated = len(set(every)) < len(every)
        names, places, links = [], [], []
        for number, (shard, split) in enumerate(zip(found, splits, strict=True)):
            if repeated and (twice := next((n for n, times in Counter(shard.names).items() if times > 1), None)):
                raise UserError(
                    f"{shards[number]} holds {twice!r} twice, and which one is meant cannot be known; write it again"
                )
            for name, place in zip(shard.names, shard.places, strict=True):
                folder, slash, base = name.rpartition("/")
                unique = f"{folder}{slash}{shards[number].stem}-{base}" if repeated else name
                names.append(unique if unique.startswith(split) else split + unique)
                places.append((number, *place))
            links += shard.links
        if len(set(names)) < len(names):
            raise UserError(f"{shards[0]} and others of its name hold samples of the same names; rename the files")
        order = sorted(range(len(names)), key=names.__getitem__)
        folders = sorted({folder for name in names for folder in above(name)})
        words = json.dumps({"files": [names[at] for at in order], "folders": folders, "links": sorted(links)})
        table = np.array([places[at] for at in order], dtype=np.int64).reshape(-1, 3)
        return {"entries": np.frombuffer(words.encode(), dtype=np.uint8), "places": table}

    return kept(f"{kind} v{VERSION}", shards, make)


class Shards:
    """Named samples of shards; a kind gives `_contents`."""

    def __init__(self, path: Path, shards: tuple[Path, ...], found: Arrays) -> None:
        self.path, self._shards = path, shards
        words = json.loads(found["entries"].tobytes())
        self._entries = Entries(words["files"], words["folders"], words["links"])
        self._places_N3 = found["places"]
        self._at = {name: at for at, name in enumerate(self._entries.files)}

    def entries(self) -> Entries:
        return self._entries

    def check(self, names: Sequence[str]) -> None:
        for name in names:
            if (size := int(self._places_N3[self._at[name], 2])) > MAX_BYTES:
                raise too_large(f"{name} in {self.path}", size)

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        """Read through once, in the order of the files, and kept."""
        kind = f"crc32 {type(self).__name__} v{VERSION}"
        crc_N = kept(kind, self._shards, self._read_through)["crc32"]
        return (int(crc_N[self._at[name]]) for name in names)

    def _read_through(self) -> Arrays:
        from zlib import crc32

        order = np.lexsort(self._places_N3.T[1::-1])
        names = [self._entries.files[at] for at in order]
        crc_N = np.zeros(len(order), dtype=np.uint32)
        for at, content in zip(order, self.read(names), strict=True):
            crc_N[at] = crc32(content)
        return {"crc32": crc_N}

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        return self._contents(names, self._places_N3[[self._at[name] for name in names]])

    def _contents(self, names: Sequence[str], places_N3: np.ndarray) -> Iterator[bytes]:
        raise NotImplementedError
