"""What lies in a store and what of it may go: finished stages, those under way, pools of training images, all else.

Nothing that is being worked on is ever removed: it goes by the lock of whoever would make it, is renamed first, and is
absent or whole for everybody else at any moment.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage import records
from rpe2d_bench.storage.files import held, locked
from rpe2d_bench.storage.mirror import MANIFEST, Mirror
from rpe2d_bench.storage.store import Busy, Store

FEATURES = "features"  # what `measure` keeps, as metrics.kept_features has it
GONE = ".gone"  # ends the name of what is being removed, also of what a killed removal left

State = Literal["finished", "under way", "other"]


@dataclass(frozen=True)
class Item:
    """A stage, a pool, features, a copy of a stage, or something else at the top of a store."""

    path: Path
    kind: str  # train, sample, ...; pool; features; copy; the name of anything else
    state: State
    size: int  # bytes of its files
    changed: float  # seconds since the epoch, of its youngest file
    lock: Path | None = None  # held while a process makes it
    elsewhere: Mirror | None = None  # where it lies, if not in this folder

    @property
    def key(self) -> str:
        """Of a stage."""
        return self.path.name.partition(".")[0]

    @property
    def busy(self) -> bool:
        if self.lock is None:
            return False
        return held(self.lock) or (self.elsewhere is not None and self.elsewhere.leased(self.lock.name))


def items(store: Store) -> Iterator[Item]:
    """Everything below a store, by stage, then pools, then the rest; nothing where there is no store."""
    root = store.root
    if store.mirror is not None:
        yield from _elsewhere(store.mirror, root)
    for folder in _inside(root / "stages"):
        for path in _inside(folder):
            made = path.name.removesuffix(GONE).removesuffix(".partial")  # a share has a lock of its own
            lock = root / "locks" / f"{folder.name}-{made}"
            item = _item(path, folder.name, lock)
            is_copy = store.mirror is not None and path.name == made and store.mirror.has(folder.name, made)
            yield replace(item, kind="copy") if is_copy else item
    for path in _inside(root / "cache"):
        if path.is_dir():
            yield _item(path, "pool", path.with_name(f"{path.name.partition('.')[0]}.lock"))
    for path in _inside(root / FEATURES):
        name = path.name.split(".")
        state: State = "finished" if name[0] else "under way"  # .NAME.PROCESS while they are taken
        yield Item(path, FEATURES, state, *_size(path), root / "locks" / f"{FEATURES}-{name[0] or name[1]}")
    for path in _inside(root):
        if path.name not in ("stages", "cache", FEATURES):
            yield Item(path, path.name, "other", *_size(path))


def _elsewhere(mirror: Mirror, root: Path) -> Iterator[Item]:
    """What lies at the address of a store."""
    files: dict[str, list[tuple[str, int, float]]] = {}
    for path, (size, changed) in mirror.bucket.files("").items():
        parts = path.split("/")
        whole = "/".join(parts[:3] if parts[0] == "stages" else parts[:1])
        files.setdefault(whole, []).append((parts[-1], size, changed))
    for whole, inside in sorted(files.items()):
        size, changed = sum(each[1] for each in inside), max(each[2] for each in inside)
        parts = whole.split("/")
        if parts[0] != "stages":
            yield Item(root / whole, whole, "other", size, changed, elsewhere=mirror)
            continue
        state: State = "finished" if any(name == MANIFEST for name, _, _ in inside) else "under way"
        lock = root / "locks" / f"{parts[1]}-{parts[2].removesuffix('.partial')}"
        yield Item(root / whole, parts[1], state, size, changed, lock, mirror)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _item(path: Path, kind: str, lock: Path) -> Item:
    return Item(path, kind, "under way" if path.suffix else "finished", *_size(path), lock)


def _size(path: Path) -> tuple[int, float]:
    size, changed = 0, 0.0
    for file in [path, *path.rglob("*")]:
        with suppress(OSError):  # replaced or finished meanwhile
            about = file.lstat()
            size += 0 if file.is_dir() else about.st_size
            changed = max(changed, about.st_mtime)
    return size, changed


def recorded(store: Store) -> set[tuple[str, str]]:
    """(stage, key) of every finished stage that a record of the store names, by its files or by its own key.

    Raises UserError where a line of the records cannot be read: what it named would be taken for unneeded.
    """
    if not (store.root / records.RECORDS_FILE).exists():
        return set()
    unread: list[str] = []
    named = set()
    for record in records.read(store.root, unread.append):
        named |= {(stage, record.key) for stage in ("train", "measure", "denoise")}
        named |= {(parts[1], parts[2]) for _, path in record.artifacts if path and len(parts := Path(path).parts) == 4}
    if unread:
        raise UserError(f"{unread[0]}; nothing is freed before")
    return named


def unneeded(found: Collection[Item], needed: Collection[tuple[str, str]], before: float) -> Iterator[tuple[Item, str]]:
    """What may go, with the reason: nothing that is worked on, is needed, or was changed after `before`.

    Pools stay while any training is under way, which may be reading them; of one elsewhere that has just begun, there
    is nothing but a lease.
    """
    training = any(item.kind == "train" and item.busy for item in found)
    leases = {name for mirror in {item.elsewhere for item in found} if mirror for name in mirror.leases()}
    training = training or any(name.startswith("train-") for name in leases)
    for item in found:
        if item.state == "other" or item.busy or (item.kind == "pool" and training):
            continue
        if item.path.suffix == GONE:
            yield item, "left by a removal that was killed"
        elif item.kind == "copy":
            if item.changed < before:
                yield item, "a copy, which comes again when it is needed"
        elif item.changed < before and (item.kind, item.key) not in needed:
            if item.kind == "pool":
                yield item, "a pool, which a training makes again"
            elif item.kind == FEATURES:
                yield item, "features, which `measure` takes again"
            else:
                yield item, "never finished" if item.state == "under way" else "no record names it"


def free(item: Item) -> bool:
    """Remove it; False where a process has begun to work on it meanwhile. Raises OSError where it can't be removed."""
    assert item.lock is not None
    if item.elsewhere is not None:
        if item.busy:
            return False
        if item.state == "finished":
            item.elsewhere.forget(item.kind, item.path.name)
        item.elsewhere.bucket.remove_folder("/".join(item.path.parts[-3:]))
        return True

    def taken() -> None:
        raise Busy(item.path.name)

    try:
        with locked(item.lock, taken):
            if item.path.exists():
                gone = item.path if item.path.suffix == GONE else item.path.with_name(item.path.name + GONE)
                item.path.rename(gone)
                shutil.rmtree(gone)
    except Busy:
        return False
    return True
