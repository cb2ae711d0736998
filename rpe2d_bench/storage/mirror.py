"""A store elsewhere, of which a folder of this machine holds copies: what lies there, how it comes and goes.

stages/STAGE/KEY/FILE.DIGEST         files of a finished stage; two writers of one key never overwrite each other
stages/STAGE/KEY/manifest.json       written last: without it the stage is not there; of two, the last one counts
stages/STAGE/KEY.partial/FILE        what a stage under way goes on from; kept.json lists it
locks/STAGE-KEY                      who works on a stage and until when; advice, since no lock holds between machines
records/HOLDER.jsonl                 lines that the machine HOLDER wrote; machine/HOLDER.json: what it measured
comparisons/, progress/              as in a folder
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rpe2d_bench.storage.bucket import Bucket, bucket_at
from rpe2d_bench.storage.files import object_in, sha256_of_file, write_bytes
from rpe2d_bench.storage.folder import Copies
from rpe2d_bench.storage.keeper import KEPT, SHARE, Keeper, repeated
from rpe2d_bench.storage.unwritable import Unwritable

MANIFEST = "manifest.json"
SMALL = (".json", ".jsonl")  # what a driver reads of a stage that others made
LEASE = 60.0  # seconds for which one is taken
SETTLED = 0.3  # seconds after which a lease that another machine took at the same moment is seen
FRESH = 3.0  # seconds for which a listing is believed


class Mirror:
    """Stages of a store elsewhere by name and key; every method may raise Unwritable, where it can't be reached."""

    def __init__(self, copies: Copies) -> None:
        self.folder, self.address, self.holder = copies.folder, copies.address, copies.holder
        self._finished: dict[str, set[str]] = defaultdict(set)  # stage -> keys
        self._leases: set[str] = set()
        self._look_again = {"stages": 0.0, "locks": 0.0}  # time.monotonic() until which a listing is believed

    @property
    def bucket(self) -> Bucket:
        return bucket_at(self.address, self.folder, os.getpid())

    def has(self, stage: str, key: str) -> bool:
        """Whether a finished stage is there."""
        return key in self._finished[stage] or key in self.keys(stage)

    def keys(self, stage: str) -> set[str]:
        """Of the finished stages of that name."""
        if (listed := self._listed("stages")) is not None:
            finished = defaultdict[str, set[str]](set)
            for parts in (path.split("/") for path in listed):
                if parts[3:] == [MANIFEST]:
                    finished[parts[1]].add(parts[2])
            self._finished = finished
        return self._finished[stage]

    def leased(self, name: str) -> bool:
        """Whether another machine says that it works on a stage."""
        return name in self.leases()

    def leases(self) -> set[str]:
        """STAGE-KEY of what other machines say that they work on."""
        if (listed := self._listed("locks")) is not None:
            names = [path.partition("/")[2] for path in listed]
            self._leases = {name for name in names if self._held_elsewhere(name)}
        return self._leases

    def pull(self, stage: str, key: str, folder: Path, *, small: bool = False) -> bool:
        """Bring the files that are not here as they were written, or the small ones; whether the stage is there.

        Raises OSError where the disk is full.
        """
        there = f"stages/{stage}/{key}"
        manifest = self.bucket.read(f"{there}/{MANIFEST}")  # a listing may be older than the stage
        sums = None if manifest is None else _sums(manifest)
        if manifest is None or sums is None:
            self._finished[stage].discard(key)
            return False
        for name, digest in sums.items():
            target = folder / name
            if (small and not name.endswith(SMALL)) or (target.is_file() and sha256_of_file(target) == digest):
                continue
            if not self.bucket.download(f"{there}/{name}.{digest[:16]}", target) or sha256_of_file(target) != digest:
                return False
        if not (folder / MANIFEST).exists() or (folder / MANIFEST).read_bytes() != manifest:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / MANIFEST, manifest)
        self._finished[stage].add(key)
        return True

    def push(self, stage: str, key: str, folder: Path) -> None:
        """Let a stage that is finished here be there, unless it is."""
        if self.has(stage, key):
            return
        there = f"stages/{stage}/{key}"
        present = self.bucket.files(there)
        for name, digest in (sums_in(folder) or {}).items():
            path = f"{there}/{name}.{digest[:16]}"
            if path not in present or present[path][0] != (folder / name).stat().st_size:
                self.bucket.upload(folder / name, path)
        self.bucket.write(f"{there}/{MANIFEST}", (folder / MANIFEST).read_bytes())
        self._finished[stage].add(key)
        self.bucket.remove_folder(f"{there}.partial")

    def forget(self, stage: str, key: str) -> None:
        """A finished stage is damaged there: it is no longer finished."""
        self._finished[stage].discard(key)
        self.bucket.remove(f"stages/{stage}/{key}/{MANIFEST}")

    def remove(self, stage: str, key: str) -> None:
        """Take a finished stage away, the manifest first."""
        self.forget(stage, key)
        self.bucket.remove_folder(f"stages/{stage}/{key}")

    @contextmanager
    def making(self, stage: str, key: str, partial: Path, waiting: Callable[[], None]) -> Iterator[None]:
        """While this is open, this machine works on a stage, from what any has left, and keeps what it has done.

        waiting: called when another machine works on it; what it raises ends the wait. The stage may be finished then.
        """
        name = f"{stage}-{key}"
        if not self._won(name):
            waiting()
            while not self._won(name):
                time.sleep(FRESH)
        with self._leased(name):
            there = f"stages/{stage}/{key}.partial"
            keeper = Keeper(self.bucket, self.holder, there, partial, self.folder / "progress")
            try:
                keeper.resume()
                keeper.start()
                try:
                    yield
                finally:
                    keeper.stop()
            except BaseException:
                with suppress(Unwritable, OSError):
                    keeper.keep()
                raise

    @contextmanager
    def _leased(self, name: str) -> Iterator[None]:
        """A lease that lasts while this is open, however long what is moved meanwhile takes."""
        self._take(name)
        try:
            with repeated(lambda: self._take(name), f"lease of {name}"):
                yield
        finally:
            with suppress(Unwritable):
                self.bucket.remove(f"locks/{name}")

    def kept(self, stage: str, key: str) -> float | None:
        """When something of a stage under way was kept for other machines, seconds since the epoch; None: never."""
        note = object_in(self.bucket.read(f"stages/{stage}/{key}.partial/{KEPT}"))
        return None if note is None else float(note["at"])

    def _won(self, name: str) -> bool:
        """Whether this machine has taken a lease; of two that take it at the same moment, the later one has."""
        if self._held_elsewhere(name):
            return False
        self._take(name)
        time.sleep(SETTLED)
        return not self._held_elsewhere(name)

    def _take(self, name: str) -> None:
        note = {"holder": self.holder, "until": time.time() + LEASE}
        self.bucket.write(f"locks/{name}", json.dumps(note).encode())

    def _held_elsewhere(self, name: str) -> bool:
        note = object_in(self.bucket.read(f"locks/{name}"))
        return note is not None and note.get("holder") != self.holder and float(note.get("until", 0)) > time.time()

    def _listed(self, what: str) -> list[str] | None:
        """Files below a folder, or None where the last listing is young, or was so slow that it has to do."""
        began = time.monotonic()
        if began < self._look_again[what]:
            return None
        found = list(self.bucket.files(what))
        now = time.monotonic()
        self._look_again[what] = now + max(FRESH, SHARE * (now - began))
        return found


def sums_in(folder: Path) -> dict[str, str] | None:
    """File -> checksum, as the manifest of a stage has it; None where it is missing or unreadable."""
    try:
        return _sums((folder / MANIFEST).read_bytes())
    except OSError:
        return None


def _sums(manifest: bytes) -> dict[str, str] | None:
    sums = (object_in(manifest) or {}).get("sha256")
    return sums if isinstance(sums, dict) and sums else None
