"""What machines tell each other beside stages where a store lies elsewhere: records, comparisons, measured numbers.

Every machine writes files of its own, which the others read; how far a run is comes and goes while it runs.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rpe2d_bench.storage import machine, records
from rpe2d_bench.storage.files import locked, write_bytes, write_json
from rpe2d_bench.storage.keeper import repeated
from rpe2d_bench.storage.mirror import Mirror
from rpe2d_bench.storage.store import Store

COPIES = "elsewhere"  # folder below the store's for files of other machines
COMPARISONS = "comparisons"  # as analysis.kept_comparison has it


def bring(store: Store) -> None:
    """What others have told; nothing for a store that is a folder. Raises Unwritable where it can't be reached."""
    mirror = store.mirror
    if mirror is None:
        return
    _merge_lines(store.root / records.RECORDS_FILE, _newest(mirror, "records"))
    _merge_numbers(store.root / machine.FILE, _newest(mirror, "machine"))
    for path in mirror.bucket.files(COMPARISONS):
        if not (store.root / path).exists():
            mirror.bucket.download(path, store.root / path)
    runs = {path: about for path, about in mirror.bucket.files("progress").items() if path.endswith(".run")}
    for path in runs:
        if not _from_here(path):
            _download(mirror, path, store.root / path, runs[path][1])
    for left in (store.root / "progress").glob("*.run"):
        if not _from_here(left.name) and f"progress/{left.name}" not in runs:
            left.unlink(missing_ok=True)


def send(store: Store) -> None:
    """What this machine has to tell and has not told. Raises Unwritable where the store can't be reached."""
    mirror = store.mirror
    if mirror is None:
        return
    every = Counter(_lines(store.root / records.RECORDS_FILE))
    own, lines = _copy(mirror, "records", ".jsonl"), every.copy()
    for other in own.parent.glob("*.jsonl"):
        if other != own:
            lines -= Counter(_lines(other))
    lines |= every & Counter(_lines(own))  # what was told once: each of two machines might leave a line to the other
    _upload(mirror, own, b"".join(lines.elements()))
    with suppress(FileNotFoundError):
        _upload(mirror, _copy(mirror, "machine", ".json"), (store.root / machine.FILE).read_bytes())
    here = {f"{COMPARISONS}/{path.name}" for path in (store.root / COMPARISONS).glob("*.json")}
    for path in here - mirror.bucket.files(COMPARISONS).keys() if here else ():
        mirror.bucket.upload(store.root / path, path)


@contextmanager
def followed(store: Store, run: str) -> Iterator[None]:
    """While this is open, what this machine has to tell goes, and how far others are with a run comes.

    run: the name that progress.ProgressFiles gives it. Raises Unwritable where the rest can't be told in the end.
    """
    mirror = store.mirror
    if mirror is None:
        yield
        return
    seen: dict[str, float] = {}

    def follow() -> None:
        send(store)
        shown = store.root / "progress" / f"{run}.run"
        if shown.exists():
            mirror.bucket.upload(shown, f"progress/{shown.name}")
        for path, (_, changed) in mirror.bucket.files("progress").items():
            if path.startswith(f"progress/{run}-") and seen.get(path, 0.0) < changed:
                seen[path] = changed
                if not (store.root / path).exists() or (store.root / path).stat().st_mtime < changed:
                    _download(mirror, path, store.root / path, changed)

    try:
        with repeated(follow, f"followed {run}"):
            yield
    finally:
        send(store)
        for path in mirror.bucket.files("progress"):
            if path.startswith(f"progress/{run}"):
                mirror.bucket.remove(path)


def _newest(mirror: Mirror, what: str) -> list[Path]:
    """Copies of the files of all machines, this one's as well, the oldest first."""
    found = []
    for path, (size, changed) in mirror.bucket.files(what).items():
        copy = mirror.folder / COPIES / path
        if not copy.exists() or (copy.stat().st_size, copy.stat().st_mtime) != (size, changed):
            _download(mirror, path, copy, changed)
        found.append((changed, copy))
    return [copy for _, copy in sorted(found)]


def _download(mirror: Mirror, path: str, target: Path, changed: float) -> None:
    if mirror.bucket.download(path, target):
        os.utime(target, (changed, changed))


def _copy(mirror: Mirror, what: str, suffix: str) -> Path:
    """What this machine has uploaded of its own."""
    return mirror.folder / COPIES / what / f"{mirror.holder}{suffix}"


def _upload(mirror: Mirror, copy: Path, content: bytes) -> None:
    if content and (not copy.exists() or copy.read_bytes() != content):
        mirror.bucket.write(f"{copy.parent.name}/{copy.name}", content)
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(copy, content)


def _lines(path: Path) -> list[bytes]:
    """Of a file of records, each with its line feed."""
    try:
        return [line.rstrip(b"\n") + b"\n" for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    except FileNotFoundError:
        return []


def _merge_lines(path: Path, others: list[Path]) -> None:
    """Lines of other files that this one lacks; then all stand in the order in which they were made."""
    if not others:
        return
    with locked(path):
        mine = _lines(path)
        have, fresh = Counter(mine), list[bytes]()
        for other in others:
            lines = Counter(_lines(other))
            fresh += list((lines - have).elements())
            have |= lines
        if fresh:
            everything = sorted(mine + fresh, key=_created)
            write_bytes(path, b"".join(everything))


def _created(line: bytes) -> str:
    """Of a record; lines that records name have none, and stand first."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(line).get("created", ""))
    return ""


def _merge_numbers(path: Path, others: list[Path]) -> None:
    """What was measured first counts, and before it what this machine has measured itself."""
    merged: dict[str, Any] = {}
    for each in [path, *others]:
        with suppress(OSError, ValueError, AttributeError, TypeError):
            for name, numbers in json.loads(each.read_bytes()).items():
                merged[name] = {**numbers, **merged.get(name, {})}
    if others:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, merged)


def _from_here(path: str) -> bool:
    """Whether a driver on this machine wrote a file of progress."""
    return path.rpartition("/")[2].rpartition("-")[0] == platform.node()
