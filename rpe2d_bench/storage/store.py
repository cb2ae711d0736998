"""One folder for everything heavy: content-addressed stages that are whole or absent, whatever was killed when.

runs/stages/STAGE/KEY/            finished: its files and manifest.json with their checksums
runs/stages/STAGE/KEY.partial/    under way, or left by a kill; a training continues from its checkpoint
runs/stages/STAGE/KEY.0000000-0002048/    a share of one that is not whole yet (stages/share.py)
runs/locks/STAGE-KEY              held while a process works on the stage
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rpe2d_bench.storage.files import held, locked, sha256_of_file, sha256_of_json, sync, write_json
from rpe2d_bench.storage.folder import copies_in, folder_of_store
from rpe2d_bench.storage.mirror import MANIFEST, SMALL, Mirror, sums_in
from rpe2d_bench.storage.unwritable import disk_errors

HASH_VERSION = 1  # raise it whenever the way keys are computed changes


def content_key(stage: str, version: int, matters: dict[str, Any]) -> str:
    """sha256 over the hash version, the stage and the canonical JSON of what matters to its result."""
    document = {"hash_version": HASH_VERSION, "stage": stage, "stage_version": version, "matters": matters}
    return sha256_of_json(document, allow_nan=False)[:32]


class Busy(Exception):
    """Another process works on a stage, and this one does not wait."""


class Store:
    """Stages by name and key below one folder, which may hold copies of a store elsewhere (`mirror`)."""

    def __init__(self, name: str | Path, *, wait: bool = True) -> None:
        """name: a folder, or an address. wait: for another process that works on a stage; otherwise Busy is raised.

        Raises UserError for an address that can't be used.
        """
        self.root = folder_of_store(name).resolve()
        copies = copies_in(self.root)
        self.mirror = None if copies is None else Mirror(copies)
        self._wait = wait

    def __reduce__(self) -> tuple[Any, ...]:
        """Another machine has its own folder for the copies of an address."""
        return _opened, (self.mirror.address if self.mirror else self.root, self._wait)

    def folder(self, stage: str, key: str) -> Path:
        """Where a finished stage lies; of a store elsewhere, its small files at least are there then."""
        folder = self._path(stage, key)
        if self.mirror and not (folder / MANIFEST).exists():
            self.mirror.pull(stage, key, folder, small=True)
        return folder

    def _path(self, stage: str, key: str) -> Path:
        return self.root / "stages" / stage / key

    def partial(self, stage: str, key: str) -> Path:
        """Where a stage under way lies."""
        return self.root / "stages" / stage / f"{key}.partial"

    def has(self, stage: str, key: str) -> bool:
        """Whether a finished stage is there, of a store elsewhere not only a copy here; `fetch` also verifies it."""
        return self.mirror.has(stage, key) if self.mirror else (self._path(stage, key) / MANIFEST).exists()

    def keys(self, stage: str) -> set[str]:
        """Of the finished stages of that name."""
        if self.mirror:
            return self.mirror.keys(stage)
        return {path.parent.name for path in (self.root / "stages" / stage).glob(f"*/{MANIFEST}")}

    def busy(self, stage: str, key: str) -> bool:
        """Whether a process works on a stage just now."""
        name = f"{stage}-{key}"
        return held(self.root / "locks" / name) or (self.mirror is not None and self.mirror.leased(name))

    def relative(self, path: Path) -> str:
        """A path as records state it: below the store."""
        return path.resolve().relative_to(self.root).as_posix()

    def fetch(self, stage: str, key: str, say: Callable[[str], None] = lambda _: None) -> Path | None:
        """Folder of a finished stage whose checksums match; one that doesn't match is removed, and said so."""
        folder = self._path(stage, key)
        if folder.exists() and _damage(folder) is None:
            return folder
        if not folder.exists() and not self.has(stage, key):
            return None
        try:
            with self._lock(f"{stage}-{key}", say):
                return self._whole(stage, key, say)
        except OSError:  # a store that can't be written: what is damaged stays and is not used
            return None

    def check(self, stage: str, key: str, say: Callable[[str], None] = lambda _: None) -> bool:
        """Whether `fetch` finds it; of a store elsewhere only the small files are brought and looked at."""
        if self.mirror is None:
            return self.fetch(stage, key, say) is not None
        folder = self._path(stage, key)
        sums = {name: sum for name, sum in (sums_in(folder) or {}).items() if name.endswith(SMALL)}
        if sums and all((folder / n).is_file() and sha256_of_file(folder / n) == s for n, s in sums.items()):
            return True
        return self.has(stage, key) and self.mirror.pull(stage, key, folder, small=True)

    def bring(self, paths: Iterable[str]) -> None:
        """Let files that records name be here, with what lies beside them; nothing for a store that is a folder."""
        mirror = self.mirror
        if mirror is None:
            return
        parts = {(*Path(path).parts[1:3], path.endswith(SMALL)) for path in paths if not (self.root / path).exists()}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda p: mirror.pull(p[0], p[1], self._path(p[0], p[1]), small=p[2]), sorted(parts)))

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
        expected = sums_in(path.parent)
        if expected is None:
            return "its manifest is missing or unreadable"
        return None if expected.get(path.name) == sha256_of_file(path) else f"{path.name} does not match its checksum"

    def checksum_of(self, path: Path) -> str | None:
        """What a file of a finished stage was when the stage was finished; None for any other file."""
        found = (sums_in(path.parent) or {}).get(path.name)
        return found if isinstance(found, str) else None

    def make(
        self, stage: str, key: str, work: Callable[[Path], None], say: Callable[[str], None] = lambda _: None
    ) -> Path:
        """Folder of the stage, worked out in its partial folder unless it is there; one process at a time.

        `work` finds what an interrupted attempt left in the folder it is given, and leaves the result there.
        A stage that is there needs no lock, so that a store that can't be written can be read.
        Raises Unwritable when the disk is full or cannot be written, and Busy.
        """
        folder, name = self._path(stage, key), f"{stage}-{key}"
        if folder.exists() and _damage(folder) is None:
            return self._shared(stage, key)
        with disk_errors(self.root), self._lock(name, say):
            if self._whole(stage, key, say) is not None:
                return self._shared(stage, key)
            partial = self.partial(stage, key)
            with self.mirror.making(stage, key, partial, self._waiting(name, say)) if self.mirror else nullcontext():
                if self._whole(stage, key, say) is not None:  # finished elsewhere meanwhile
                    return folder
                partial.mkdir(parents=True, exist_ok=True)
                for left in partial.glob(".*"):  # half-written by a killed attempt: write_atomically names them so
                    left.unlink()
                work(partial)
                _seal(partial)
                partial.rename(folder)
                sync(folder.parent)
                return self._shared(stage, key)

    def _shared(self, stage: str, key: str) -> Path:
        """The folder of a stage that is whole here; where the store is elsewhere, it is there then, too."""
        folder = self._path(stage, key)
        if self.mirror:
            self.mirror.push(stage, key, folder)
        return folder

    def _whole(self, stage: str, key: str, say: Callable[[str], None]) -> Path | None:
        """As `fetch`, by the holder of the stage's lock: nobody else puts a whole one there while this removes it."""
        folder = self._path(stage, key)
        if self.mirror and (not folder.exists() or _damage(folder)):
            self.mirror.pull(stage, key, folder)
        if not folder.exists():
            return None
        damage = _damage(folder)
        if damage is None:
            return folder
        if self.mirror:
            self.mirror.forget(stage, key)
        say(f"{stage} {key[:8]}: {damage}; computing it again")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def remove(self, stage: str, key: str) -> None:
        """Take a finished stage away, here and elsewhere: nothing reads it any more. Raises OSError and Unwritable."""
        shutil.rmtree(self._path(stage, key), ignore_errors=self.mirror is not None)
        if self.mirror:
            self.mirror.remove(stage, key)

    def leave(self, stage: str, key: str) -> None:
        """Take the copy away that is here of a stage which lies elsewhere, too."""
        if self.mirror and self.mirror.has(stage, key):
            shutil.rmtree(self._path(stage, key), ignore_errors=True)

    def _lock(self, name: str, say: Callable[[str], None]) -> AbstractContextManager[object]:
        return locked(self.root / "locks" / name, self._waiting(name, say))

    def _waiting(self, name: str, say: Callable[[str], None]) -> Callable[[], None]:
        """Called when another process works on a stage."""

        def waiting() -> None:
            if not self._wait:
                raise Busy(name)
            say(f"{name[: name.index('-') + 9]}: another process is working on it; waiting")

        return waiting


def _opened(name: str | Path, wait: bool) -> Store:
    """Unpickled on any machine."""
    return Store(name, wait=wait)


def _seal(partial: Path) -> None:
    sums = {}
    for path in sorted(partial.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            sums[path.relative_to(partial).as_posix()] = sha256_of_file(path)
            sync(path)
    write_json(partial / MANIFEST, {"created": time.time(), "sha256": sums})


def _damage(folder: Path) -> str | None:
    """What is wrong with a finished stage, or None."""
    sums = sums_in(folder)
    if sums is None:
        return "its manifest is missing or unreadable"
    for name, expected in sums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sha256_of_file(folder / name) != expected:
            return f"{name} does not match its checksum"
    return None
