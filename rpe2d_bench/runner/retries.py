"""When a stage whose process died is tried again: as long as it gets further, and a few times where it does not.

Spot capacity takes machines away all the time; a long training outlives any number of deaths, each of which costs what
was done since the last note. A stage that dies before its first note, each time, would never end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rpe2d_bench.plan.pace import Stage
from rpe2d_bench.plan.work import needs
from rpe2d_bench.stages.checkpoint import CHECKPOINT
from rpe2d_bench.storage.resumable_array import DONE
from rpe2d_bench.storage.store import Store

RETRIES = 2  # without progress in between
NOTES = (CHECKPOINT, DONE)  # what stages under way continue from; DONE is also denoising's


class Deaths:
    """How often each stage died since it last got further."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before: dict[str, frozenset[tuple[str, int]]] = {}  # what a stage had kept at its last start or death
        self._count: dict[str, int] = {}

    def started(self, stage: Stage) -> None:
        """For the first time."""
        self._before[stage.key], self._count[stage.key] = kept(stage, self._store), 0

    def again(self, stage: Stage) -> bool:
        """Whether a stage that has just died is to be tried again."""
        now = kept(stage, self._store)
        self._count[stage.key] = 1 if now != self._before[stage.key] else self._count[stage.key] + 1
        self._before[stage.key] = now
        return self._count[stage.key] <= RETRIES


def kept(stage: Stage, store: Store) -> frozenset[tuple[str, int]]:
    """What of a stage, of those that it needs and of pools would not be done again; it differs when there is more."""
    found = set()
    for each in {each.key: each for each in _with_needs(stage)}.values():
        if store.has(each.name, each.key):
            found.add((each.key, 0))
        if store.mirror and (at := store.mirror.kept(each.name, each.key)) is not None:  # by whichever machine had it
            found.add((each.key, int(at)))
        for note in NOTES:
            found |= _changed(store.partial(each.name, each.key) / note)
    for pool in (store.root / "cache").glob("*/*.json"):  # how far it is, or its checksum
        found |= _changed(pool)
    return frozenset(found)


def _changed(path: Path) -> set[tuple[str, int]]:
    """The file and when it was changed; nothing where there is none."""
    try:
        return {(str(path), path.stat().st_mtime_ns)}
    except OSError:
        return set()


def _with_needs(stage: Stage) -> Iterator[Stage]:
    yield stage
    for need in needs(stage):
        yield from _with_needs(need)
