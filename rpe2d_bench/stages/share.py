"""A share of a stage: some of its images, made by one process while others make the rest.

A stage that is too long for one process is made of shares, each content-addressed, locked and resumed like a stage of
its own: stages/sample/KEY.0000000-0002048. The stage is put together of them, which takes no accelerator, and then they
go. What a share holds is what the same images would be in a stage made whole, bit for bit: shares begin where a batch
begins, and noise and labels belong to an image's index.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import Unwritable


class Shared(Protocol):
    """A stage that can be made in shares."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    def is_there(self, store: Store) -> bool:
        """Whether it is whole."""

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Leave in the folder what the share's images are."""


class _Whole(Exception):
    """The stage is there, and its shares are gone."""


@dataclass(frozen=True)
class Share:
    """Images first to stop - 1 of a stage."""

    stage: Shared
    first: int
    stop: int

    @property
    def name(self) -> str:
        return self.stage.name

    @cached_property
    def key(self) -> str:
        return f"{self.stage.key}.{self.first:07d}-{self.stop:07d}"

    @property
    def count(self) -> int:
        return self.stop - self.first

    def is_there(self, store: Store) -> bool:
        """Whether nothing of it is left to do: it is there, or the whole stage is."""
        return store.has(self.name, self.key) or self.stage.is_there(store)

    def make(self, context: RunContext) -> Path | None:
        """Folder of the share, worked out unless it is there; None where the whole stage is there instead."""
        store = context.store

        def work(partial: Path) -> None:
            if self.stage.is_there(store):
                shutil.rmtree(partial)  # with what an attempt has left
                raise _Whole
            self.stage.make_share(self, partial, context)

        if self.stage.is_there(store):
            return None
        try:
            return store.make(self.name, self.key, work, context.say)
        except _Whole:
            return None


def shares_of(stage: Shared, count: int, size: int, *units: int) -> tuple[Share, ...]:
    """Shares of about `size` rows that begin at multiples of units, such as batches; none where one is about all."""
    unit = math.lcm(*units)
    number = round(count / max(size, unit))
    if number < 2:
        return ()
    length = math.ceil(count / number / unit) * unit
    return tuple(Share(stage, first, min(first + length, count)) for first in range(0, count, length))


def kept_shares(stage: Shared, store: Store) -> tuple[Share, ...]:
    """Those of a stage that are there, of whatever length, in order."""
    start = f"{stage.key}."
    keys = (key.removeprefix(start) for key in store.keys(stage.name) if key.startswith(start))
    spans = (re.fullmatch(r"(\d+)-(\d+)", key) for key in keys)
    return tuple(Share(stage, *span) for span in sorted((int(found[1]), int(found[2])) for found in spans if found))


def covered(shares: tuple[Share, ...], first: int, stop: int) -> bool:
    """Whether shares, in order, hold all from first to stop - 1."""
    for share in shares:
        if share.first <= first:
            first = max(first, share.stop)
    return first >= stop


def made_of(shares: tuple[Share, ...], context: RunContext) -> list[Path]:
    """The folders of all shares of a stage that is not there, in order; what is missing is made."""
    folders = [share.make(context) for share in shares]
    return [folder for folder in folders if folder is not None]


def put_together(stage: Shared, work: Callable[[Path], None], shares: tuple[Share, ...], context: RunContext) -> Path:
    """Folder of a stage, worked out unless it is there; its shares are removed, since nothing reads them now."""
    folder = context.store.make(stage.name, stage.key, work, context.say)
    remove(shares, context.store)
    return folder


def remove(shares: tuple[Share, ...], store: Store) -> None:
    """Those of a stage that is whole."""
    for share in shares:
        with suppress(OSError, Unwritable):  # a store that can't be written
            store.remove(share.name, share.key)
