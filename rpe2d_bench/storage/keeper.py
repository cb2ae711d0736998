"""Keeps elsewhere what a stage under way has done, so that another machine goes on from there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rpe2d_bench.storage.bucket import Bucket
from rpe2d_bench.storage.files import object_in
from rpe2d_bench.storage.unwritable import Unwritable

KEPT = "kept.json"  # who kept a stage under way, when, and which files
NOTES = (".json", ".pt")  # a stage under way has got further when one of these has changed
TICK = 10.0  # seconds between two looks at what is under way, and between two renewals of a lease
SHARE = 20  # of the time, one part is spent on uploading what is under way


@contextmanager
def repeated(work: Callable[[], object], name: str) -> Iterator[None]:
    """While this is open, `work` is done beside, every TICK seconds; what can't be done then is tried again."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(TICK):
            with suppress(Unwritable, OSError):
                work()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Keeper(threading.Thread):
    """Uploads what a stage under way has noted, as seldom as its cost asks for, and how far this process is."""

    def __init__(self, bucket: Bucket, holder: str, there: str, partial: Path, progress: Path) -> None:
        """there: the folder in the bucket of what lies in `partial`; progress: a folder of files of progress."""
        super().__init__(name=f"keeper of {there}", daemon=True)
        self._bucket, self._holder, self._there, self._partial = bucket, holder, there, partial
        self._progress = progress
        self._ended = threading.Event()
        self._seen, self._due = self._state(), 0.0
        self._uploaded: dict[Path, int] = {}  # what was uploaded, and when it had been changed

    def run(self) -> None:
        while not self._ended.wait(TICK):
            with suppress(Unwritable, OSError):  # a safety net: the stage itself goes on
                self._tell()
                if time.monotonic() >= self._due:
                    self.keep()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        with suppress(Unwritable):
            for path in self._uploaded:
                if path.parent == self._progress:
                    self._bucket.remove(f"progress/{path.name}")

    def _tell(self) -> None:
        """Whoever shows the run elsewhere, how far this process is."""
        for path in self._progress.glob("*.json"):
            self._upload(path, f"progress/{path.name}")

    def keep(self) -> None:
        """Upload what has changed since the last time: notes as they were before what they speak of was listed.

        They come last, so that a kill in between leaves older notes, all of whose files are there.
        """
        state, began = self._state(), time.monotonic()
        if state == self._seen or not state:
            return
        with ExitStack() as opened:
            notes = {name: opened.enter_context((self._partial / name).open("rb")) for name in state}
            files = {path.name: path for path in sorted(self._partial.iterdir()) if not path.name.startswith(".")}
            for name in files.keys() - notes.keys():
                with suppress(FileNotFoundError):
                    self._upload(files[name], f"{self._there}/{name}")
            kept = {"holder": self._holder, "at": time.time(), "files": sorted(files)}
            self._bucket.write(f"{self._there}/{KEPT}", json.dumps(kept).encode())
            for name, file in notes.items():
                self._bucket.put(file, f"{self._there}/{name}")
        self._seen = state
        self._due = time.monotonic() + SHARE * (time.monotonic() - began)

    def _upload(self, path: Path, there: str) -> None:
        """Unless it is as it was when it was uploaded."""
        changed = path.stat().st_mtime_ns
        if changed != self._uploaded.get(path):
            self._bucket.upload(path, there)
            self._uploaded[path] = changed

    def resume(self) -> None:
        """Bring what another machine has left, unless what lies here is younger."""
        kept = object_in(self._bucket.read(f"{self._there}/{KEPT}"))
        here = max(self._state().values(), default=0) / 1e9
        if kept is None or (here and (kept["holder"] == self._holder or here > kept["at"])):
            return
        for name in kept["files"]:
            self._bucket.download(f"{self._there}/{name}", self._partial / name)
        self._seen = self._state()

    def _state(self) -> dict[str, int]:
        found = {}
        for path in self._partial.glob("[!.]*"):
            if path.name.endswith(NOTES):
                with suppress(OSError):
                    found[path.name] = path.stat().st_mtime_ns
        return found
