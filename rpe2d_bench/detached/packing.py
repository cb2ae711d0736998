"""Finished stages as a few files of bounded size with checksums, and back into a store.

OUT/RUN-ID.json        what is inside, the parts and their sha256, and what made it
OUT/RUN-ID.000, ...    one tar, cut
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import MANIFEST, Store

FORMAT = 1
PART = 15 * 2**20  # bytes of a file
STAGES = ("train", "sample")
WEIGHTS = "weights.safetensors"
Address = tuple[str, str]  # stage, key


def pack(
    store: Store,
    run: str,
    wanted: Iterable[Address],
    out: Path,
    *,
    most: int,
    weights: bool = True,
    again: bool = False,
    made_with: dict[str, str] | None = None,
) -> tuple[list[Address], list[Address]]:
    """Write finished stages that were not packed before; returns what was written and what found no more room.

    most: bytes of all files together, at least one stage. weights: without them a training is known to be done, and its
    samples are there, but nothing more can be sampled.
    """
    delivered = store.root / "detached" / "packed.json"
    known = {tuple(address) for address in json.loads(delivered.read_text())} if delivered.exists() else set()
    ready = [(s, k) for s, k in wanted if store.has(s, k) and (again or (s, k) not in known)]
    chosen: list[Address] = []
    total = 0
    for address in ready:
        size = sum(path.stat().st_size + 1024 for path in _files(store.folder(*address), weights))
        if chosen and total + size > most:
            break
        chosen.append(address)
        total += size
    if chosen:
        _write(store, run, chosen, out, weights, made_with or {})
        delivered.parent.mkdir(parents=True, exist_ok=True)
        write_json(delivered, sorted(known | set(chosen)))
    return chosen, ready[len(chosen) :]


def unpack(sources: Iterable[Path], store: Store) -> tuple[int, int]:
    """Put packed stages into a store; returns how many are new and how many were there.

    Raises UserError for a missing or damaged part, before anything is changed.
    """
    indices = [path for source in sources for path in (sorted(source.glob("*.json")) if source.is_dir() else [source])]
    indices = [path for path in dict.fromkeys(indices) if path.suffix == ".json"]
    if not indices:
        raise UserError("nothing to unpack; give the folder that was written, or its .json files")
    opened = [(path, _index(path)) for path in indices]
    for path, index in opened:
        for part in index["parts"]:
            _verify(path.parent / part["name"], part["sha256"])
    new = there = 0
    for path, index in opened:
        with tempfile.TemporaryDirectory(dir=_inside(store), prefix="unpack-") as scratch:
            parts = [path.parent / part["name"] for part in index["parts"]]
            with tarfile.open(fileobj=io.BufferedReader(_Joined(parts)), mode="r|") as archive:
                archive.extractall(scratch, filter="data")
            for stage, key in index["stages"]:
                added = _place(Path(scratch) / stage / key, store, stage, key)
                new, there = new + added, there + (not added)
    return new, there


def _inside(store: Store) -> Path:
    folder = store.root / "detached"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(folder: Path, store: Store, stage: str, key: str) -> bool:
    """Move an unpacked stage to its place, unless a whole one is there; its manifest must fit."""
    if stage not in STAGES or not key.isalnum() or not (folder / MANIFEST).is_file():
        raise UserError(f"{stage}/{key} in the archive is not a finished training or sampling")
    if store.fetch(stage, key) is not None:
        return False
    final = store.folder(stage, key)
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(store.partial(stage, key), ignore_errors=True)
    folder.rename(final)
    if store.fetch(stage, key) is None:
        raise UserError(f"{stage}/{key} in the archive does not match its own checksums; pack it again")
    return True


def _write(store: Store, run: str, chosen: list[Address], out: Path, weights: bool, made_with: dict[str, str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = f"{run}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"
    cutter = _Cutter(out, name)
    with tarfile.open(fileobj=cutter, mode="w|") as archive:
        for stage, key in chosen:
            folder = store.folder(stage, key)
            left_out = [] if weights else [WEIGHTS]
            for path in _files(folder, weights):
                archive.add(path, f"{stage}/{key}/{path.name}", recursive=False)
            manifest = json.loads((folder / MANIFEST).read_text())
            manifest["sha256"] = {file: sum_ for file, sum_ in manifest["sha256"].items() if file not in left_out}
            content = json.dumps(manifest, indent=1).encode()
            entry = tarfile.TarInfo(f"{stage}/{key}/{MANIFEST}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    parts = cutter.finish()
    write_json(
        out / f"{name}.json",
        {"format": FORMAT, "run": run, "stages": chosen, "parts": parts, "weights": weights, "made_with": made_with},
    )


def _files(folder: Path, weights: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST and (weights or path.name != WEIGHTS):
            yield path


def _index(path: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(path.read_text())
        if index["format"] == FORMAT:
            return index
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} is not the list of contents that `detached run` writes")


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing; bring all parts")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            raise UserError(f"{path} does not match its checksum; bring it again")


class _Cutter(io.RawIOBase):
    """A file object that starts a new file whenever one is full."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self._folder, self._name = folder, name
        self._parts: list[Path] = []
        self._file: Any = None
        self._room = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest:
            if not self._room:
                self._next()
            piece, rest = rest[: self._room], rest[self._room :]
            self._file.write(piece)
            self._room -= len(piece)
        return len(data)

    def finish(self) -> list[dict[str, Any]]:
        """Name, size and checksum of every part."""
        if self._file:
            self._file.close()
        found = []
        for path in self._parts:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found.append({"name": path.name, "bytes": path.stat().st_size, "sha256": sha256})
        return found

    def _next(self) -> None:
        if self._file:
            self._file.close()
        self._parts.append(self._folder / f"{self._name}.{len(self._parts):03d}")
        self._file, self._room = self._parts[-1].open("wb"), PART


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        self._rest = [path.open("rb") for path in paths]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._rest:
            count = self._rest[0].readinto(buffer)
            if count:
                return count
            self._rest.pop(0).close()
        return 0
