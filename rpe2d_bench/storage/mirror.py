"""A store elsewhere, of which a folder of this machine holds copies: what lies there, how it comes and goes.

stages/STAGE/KEY/FILE.DIGEST         files of a finished stage; two writers of one key never overwrite each other
stages/STAGE/KEY/manifest.json       written last: without it the stage is not there; of two, the last one counts
stages/STAGE/KEY.partial/FILE        what a stage under way goes on from, kept.json last
locks/STAGE-KEY                      who works on a stage and until when; advice, since no lock holds between machines
records/HOLDER.jsonl                 lines that the machine HOLDER wrote; machine/HOLDER.json: what it measured
comparisons/, progress/              as in a folder
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rpe2d_bench.storage.bucket import Bucket, bucket_at
from rpe2d_bench.storage.files import sha256_of_file, write_bytes
from rpe2d_bench.storage.folder import Copies
from rpe2d_bench.storage.unwritable import Unwritable

MANIFEST, KEPT = "manifest.json", "kept.json"
SMALL = (".json", ".jsonl")  # what a driver reads of a stage that others made
NOTES = (".json", ".pt")  # a stage under way has got further when one of these has changed
LEASE = 60.0  # seconds for which one is taken
TICK = 10.0  # seconds between two looks at what is under way, and between two renewals
FRESH = 3.0  # seconds for which a listing is believed
SHARE = 20  # of the time, one part is spent on uploading what is under way


class Mirror:
    """Stages of a store elsewhere by name and key; every method may raise Unwritable, where it can't be reached."""

    def __init__(self, copies: Copies) -> None:
        self.folder, self.address, self.holder = copies.folder, copies.address, copies.holder
        self._finished: set[tuple[str, str]] = set()
        self._leases: dict[str, bool] = {}
        self._look_again = {"stages": 0.0, "locks": 0.0}  # time.monotonic() until which a listing is believed

    @property
    def bucket(self) -> Bucket:
        return bucket_at(self.address, self.folder, os.getpid())

    def has(self, stage: str, key: str) -> bool:
        """Whether a finished stage is there."""
        if (stage, key) not in self._finished and (listed := self._listed("stages")) is not None:
            found = (path.split("/") for path in listed)
            self._finished = {(parts[1], parts[2]) for parts in found if parts[3:] == [MANIFEST]}
        return (stage, key) in self._finished

    def leased(self, name: str) -> bool:
        """Whether another machine says that it works on a stage."""
        if (listed := self._listed("locks")) is not None:
            self._leases = {each: self._held_elsewhere(each) for each in (path.partition("/")[2] for path in listed)}
        return self._leases.get(name, False)

    def pull(self, stage: str, key: str, folder: Path, *, small: bool = False) -> bool:
        """Bring the files that are not here as they were written, or the small ones; whether the stage is there.

        Raises OSError where the disk is full.
        """
        there = f"stages/{stage}/{key}"
        manifest = self.bucket.read(f"{there}/{MANIFEST}")  # a listing may be older than the stage
        sums = None if manifest is None else _sums(manifest)
        if manifest is None or sums is None:
            self._finished.discard((stage, key))
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
        self._finished.add((stage, key))
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
        self._finished.add((stage, key))
        self.bucket.remove_folder(f"{there}.partial")

    def forget(self, stage: str, key: str) -> None:
        """A finished stage is damaged there: it is no longer finished."""
        self._finished.discard((stage, key))
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
        if self._held_elsewhere(name):
            waiting()
            while self._held_elsewhere(name):
                time.sleep(FRESH)
        self._take(name)
        keeper = _Keeper(self, name, f"stages/{stage}/{key}.partial", partial)
        try:
            keeper.resume()
            keeper.start()
            try:
                yield
            finally:
                keeper.stop()
        except BaseException:
            with suppress(Unwritable):
                keeper.keep()
            raise
        finally:
            with suppress(Unwritable):
                self.bucket.remove(f"locks/{name}")

    def kept(self, stage: str, key: str) -> float | None:
        """When something of a stage under way was kept for other machines, seconds since the epoch; None: never."""
        note = _object(self.bucket.read(f"stages/{stage}/{key}.partial/{KEPT}"))
        return None if note is None else float(note["at"])

    def _take(self, name: str) -> None:
        note = {"holder": self.holder, "until": time.time() + LEASE}
        self.bucket.write(f"locks/{name}", json.dumps(note).encode())

    def _held_elsewhere(self, name: str) -> bool:
        note = _object(self.bucket.read(f"locks/{name}"))
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


class _Keeper(threading.Thread):
    """Renews a lease and uploads what a stage under way has noted, as seldom as its cost asks for."""

    def __init__(self, mirror: Mirror, name: str, there: str, partial: Path) -> None:
        super().__init__(name=f"keeper of {name}", daemon=True)
        self._mirror, self._name, self._there, self._partial = mirror, name, there, partial
        self._ended = threading.Event()
        self._seen, self._due = self._state(), 0.0
        self._uploaded: dict[str, int] = {}  # files of progress that were uploaded, and when they had been changed

    def run(self) -> None:
        while not self._ended.wait(TICK):
            with suppress(Unwritable, OSError):  # advice and a safety net: the stage itself goes on
                self._mirror._take(self._name)
                self._tell()
                if time.monotonic() >= self._due:
                    self.keep()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        with suppress(Unwritable):
            for name in self._uploaded:
                self._mirror.bucket.remove(f"progress/{name}")

    def _tell(self) -> None:
        """Whoever shows the run elsewhere, how far this process is."""
        for path in (self._mirror.folder / "progress").glob("*.json"):
            if (changed := path.stat().st_mtime_ns) != self._uploaded.get(path.name):
                self._uploaded[path.name] = changed
                self._mirror.bucket.upload(path, f"progress/{path.name}")

    def keep(self) -> None:
        """Upload what has changed since the last time, notes after what they speak of."""
        state, began = self._state(), time.monotonic()
        if state == self._seen or not state:
            return
        files = {path.name: path for path in sorted(self._partial.iterdir()) if not path.name.startswith(".")}
        notes = {name: path.read_bytes() for name, path in files.items() if name.endswith(".json")}
        for name in files.keys() - notes.keys():
            with suppress(FileNotFoundError):
                self._mirror.bucket.upload(files[name], f"{self._there}/{name}")
        for name, content in notes.items():
            self._mirror.bucket.write(f"{self._there}/{name}", content)
        kept = {"holder": self._mirror.holder, "at": time.time(), "files": sorted(files)}
        self._mirror.bucket.write(f"{self._there}/{KEPT}", json.dumps(kept).encode())
        self._seen = state
        self._due = time.monotonic() + SHARE * (time.monotonic() - began)

    def resume(self) -> None:
        """Bring what another machine has left, unless what lies here is younger."""
        kept = _object(self._mirror.bucket.read(f"{self._there}/{KEPT}"))
        here = max(self._state().values(), default=0) / 1e9
        if kept is None or (here and (kept["holder"] == self._mirror.holder or here > kept["at"])):
            return
        for name in kept["files"]:
            self._mirror.bucket.download(f"{self._there}/{name}", self._partial / name)
        self._seen = self._state()

    def _state(self) -> dict[str, int]:
        found = {}
        for path in self._partial.glob("[!.]*"):
            if path.name.endswith(NOTES):
                with suppress(OSError):
                    found[path.name] = path.stat().st_mtime_ns
        return found


def sums_in(folder: Path) -> dict[str, str] | None:
    """File -> checksum, as the manifest of a stage has it; None where it is missing or unreadable."""
    try:
        return _sums((folder / MANIFEST).read_bytes())
    except OSError:
        return None


def _sums(manifest: bytes) -> dict[str, str] | None:
    sums = (_object(manifest) or {}).get("sha256")
    return sums if isinstance(sums, dict) and sums else None


def _object(content: bytes | None) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    try:
        found = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
