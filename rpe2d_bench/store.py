"""One folder for everything heavy: content-addressed stages that are whole or absent, whatever was killed when.

runs/stages/STAGE/KEY/            finished: its files and manifest.json with their checksums
runs/stages/STAGE/KEY.partial/    under way, or left by a kill; a training continues from its checkpoint
runs/locks/STAGE-KEY              held while a process works on the stage
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rpe2d_bench.errors import UserError

HASH_VERSION = 1  # raise it whenever the way keys are computed changes
MANIFEST = "manifest.json"


def content_key(stage: str, version: int, matters: dict[str, Any]) -> str:
    """sha256 over the hash version, the stage and the canonical JSON of what matters to its result."""
    document = {"hash_version": HASH_VERSION, "stage": stage, "stage_version": version, "matters": matters}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class Store:
    """Stages by name and key below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def folder(self, stage: str, key: str) -> Path:
        """Where a finished stage lies."""
        return self.root / "stages" / stage / key

    def partial(self, stage: str, key: str) -> Path:
        """Where a stage under way lies."""
        return self.root / "stages" / stage / f"{key}.partial"

    def has(self, stage: str, key: str) -> bool:
        """Whether a finished stage is there; `fetch` also verifies it."""
        return (self.folder(stage, key) / MANIFEST).exists()

    def relative(self, path: Path) -> str:
        """A path as records state it: below the store."""
        return path.resolve().relative_to(self.root).as_posix()

    def fetch(self, stage: str, key: str, say: Callable[[str], None] = lambda _: None) -> Path | None:
        """Folder of a finished stage whose checksums match; one that doesn't match is removed, and said so."""
        folder = self.folder(stage, key)
        if not folder.exists():
            return None
        damage = _damage(folder)
        if damage is None:
            return folder
        say(f"{stage} {key[:8]}: {damage}; computing it again")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def make(
        self, stage: str, key: str, work: Callable[[Path], None], say: Callable[[str], None] = lambda _: None
    ) -> Path:
        """Folder of the stage, worked out in its partial folder unless it is there; one process at a time.

        `work` finds what an interrupted attempt left in the folder it is given, and leaves the result there.
        Raises UserError when the disk is full or cannot be written.
        """
        with _disk_errors(self.root), self._lock(f"{stage}-{key}", say):
            folder = self.fetch(stage, key, say)
            if folder is not None:
                return folder
            partial = self.partial(stage, key)
            partial.mkdir(parents=True, exist_ok=True)
            work(partial)
            _seal(partial)
            folder = self.folder(stage, key)
            partial.rename(folder)
            _sync(folder.parent)
            return folder

    @contextmanager
    def _lock(self, name: str, say: Callable[[str], None]) -> Iterator[None]:
        path = self.root / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{name[: name.index('-') + 9]}: another process is working on it; waiting")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, sync it and put it in the place of `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old or the new file, never a part."""
    write_atomically(path, lambda temporary: _dump(temporary, data))


def _dump(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1))


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        reason = os.strerror(error.errno)
        raise UserError(
            f"the store {root} cannot be written ({reason}); free space or choose another with --store DIR, "
            "then run the same command again: nothing finished is lost"
        ) from error


def _seal(partial: Path) -> None:
    sums = {}
    for path in sorted(partial.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            sums[path.relative_to(partial).as_posix()] = _checksum(path)
            _sync(path)
    write_json(partial / MANIFEST, {"created": time.time(), "sha256": sums})


def _damage(folder: Path) -> str | None:
    """What is wrong with a finished stage, or None."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest is missing or unreadable"
    for name, expected in sums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if _checksum(folder / name) != expected:
            return f"{name} does not match its checksum"
    return None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
