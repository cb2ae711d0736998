"""One folder for everything heavy: content-addressed stages that are whole or absent, whatever was killed when.

runs/stages/STAGE/KEY/            finished: its files and manifest.json with their checksums
runs/stages/STAGE/KEY.partial/    under way, or left by a kill; a training continues from its checkpoint
runs/stages/STAGE/KEY.0000000-0002048/    a share of one that is not whole yet (stages/share.py)
runs/locks/STAGE-KEY              held while a process works on the stage
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import held, locked, sha256_of_file, sha256_of_json, sync, write_json
from rpe2d_bench.storage.folder import folder_of_store

HASH_VERSION = 1  # raise it whenever the way keys are computed changes
MANIFEST = "manifest.json"


def content_key(stage: str, version: int, matters: dict[str, Any]) -> str:
    """sha256 over the hash version, the stage and the canonical JSON of what matters to its result."""
    document = {"hash_version": HASH_VERSION, "stage": stage, "stage_version": version, "matters": matters}
    return sha256_of_json(document, allow_nan=False)[:32]


class Busy(Exception):
    """Another process works on a stage, and this one does not wait."""


class Store:
    """Stages by name and key below one folder."""

    def __init__(self, root: Path, *, wait: bool = True) -> None:
        """wait: for another process that works on a stage; otherwise Busy is raised.

        Raises UserError for an address that is no folder.
        """
        self.root = folder_of_store(root).resolve()
        self._wait = wait

    def folder(self, stage: str, key: str) -> Path:
        """Where a finished stage lies."""
        return self.root / "stages" / stage / key

    def partial(self, stage: str, key: str) -> Path:
        """Where a stage under way lies."""
        return self.root / "stages" / stage / f"{key}.partial"

    def has(self, stage: str, key: str) -> bool:
        """Whether a finished stage is there; `fetch` also verifies it."""
        return (self.folder(stage, key) / MANIFEST).exists()

    def busy(self, stage: str, key: str) -> bool:
        """Whether a process works on a stage just now."""
        return held(self.root / "locks" / f"{stage}-{key}")

    def relative(self, path: Path) -> str:
        """A path as records state it: below the store."""
        return path.resolve().relative_to(self.root).as_posix()

    def fetch(self, stage: str, key: str, say: Callable[[str], None] = lambda _: None) -> Path | None:
        """Folder of a finished stage whose checksums match; one that doesn't match is removed, and said so."""
        folder = self.folder(stage, key)
        if not folder.exists():
            return None
        if _damage(folder) is None:
            return folder
        try:
            with self._lock(f"{stage}-{key}", say):
                return self._whole(stage, key, say)
        except OSError:  # a store that can't be written: what is damaged stays and is not used
            return None

    def damage_of(self, path: Path) -> str | None:
        """What is wrong with one file of a finished stage, or None; nothing is removed.

        A file outside finished stages has no checksum and nothing is wrong with it as long as it is there.
        """
        path = path.resolve()
        if not path.is_file():
            return f"{path.name} is missing"
        inside = path.relative_to(self.root).parts if path.is_relative_to(self.root) else ()
        if len(inside) != 4 or inside[0] != "stages":
            return None
        expected = _sums(path.parent)
        if expected is None:
            return "its manifest is missing or unreadable"
        return None if expected.get(path.name) == sha256_of_file(path) else f"{path.name} does not match its checksum"

    def checksum_of(self, path: Path) -> str | None:
        """What a file of a finished stage was when the stage was finished; None for any other file."""
        found = (_sums(path.parent) or {}).get(path.name)
        return found if isinstance(found, str) else None

    def make(
        self, stage: str, key: str, work: Callable[[Path], None], say: Callable[[str], None] = lambda _: None
    ) -> Path:
        """Folder of the stage, worked out in its partial folder unless it is there; one process at a time.

        `work` finds what an interrupted attempt left in the folder it is given, and leaves the result there.
        A stage that is there needs no lock, so that a store that can't be written can be read.
        Raises Unwritable when the disk is full or cannot be written, and Busy.
        """
        folder = self.folder(stage, key)
        if folder.exists() and _damage(folder) is None:
            return folder
        with disk_errors(self.root), self._lock(f"{stage}-{key}", say):
            whole = self._whole(stage, key, say)
            if whole is not None:
                return whole
            partial = self.partial(stage, key)
            partial.mkdir(parents=True, exist_ok=True)
            for left in partial.glob(".*"):  # half-written files of a killed attempt: write_atomically names them so
                left.unlink()
            work(partial)
            _seal(partial)
            partial.rename(folder)
            sync(folder.parent)
            return folder

    def _whole(self, stage: str, key: str, say: Callable[[str], None]) -> Path | None:
        """As `fetch`, by the holder of the stage's lock: nobody else puts a whole one there while this removes it."""
        folder = self.folder(stage, key)
        if not folder.exists():
            return None
        damage = _damage(folder)
        if damage is None:
            return folder
        say(f"{stage} {key[:8]}: {damage}; computing it again")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def _lock(self, name: str, say: Callable[[str], None]) -> AbstractContextManager[object]:
        def waiting() -> None:
            if not self._wait:
                raise Busy(name)
            say(f"{name[: name.index('-') + 9]}: another process is working on it; waiting")

        return locked(self.root / "locks" / name, waiting)


class Unwritable(UserError):
    """The store cannot be written: nothing that is still to do can be done, and nothing finished is lost."""


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


def _seal(partial: Path) -> None:
    sums = {}
    for path in sorted(partial.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            sums[path.relative_to(partial).as_posix()] = sha256_of_file(path)
            sync(path)
    write_json(partial / MANIFEST, {"created": time.time(), "sha256": sums})


def _damage(folder: Path) -> str | None:
    """What is wrong with a finished stage, or None."""
    sums = _sums(folder)
    if sums is None:
        return "its manifest is missing or unreadable"
    for name, expected in sums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sha256_of_file(folder / name) != expected:
            return f"{name} does not match its checksum"
    return None


def _sums(folder: Path) -> dict[str, str] | None:
    """File -> checksum, as the manifest has it."""
    try:
        sums = json.loads((folder / MANIFEST).read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return sums if isinstance(sums, dict) and sums else None
