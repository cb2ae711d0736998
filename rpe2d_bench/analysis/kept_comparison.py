"""A comparison that was worked out before: a file in the store, with digests of itself and of what it was made from."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store

FOLDER = "comparisons"


@dataclass(frozen=True)
class KeptComparison:
    """The methods of one cell against each other, by their observations."""

    store: Store
    version: str  # of how they are compared
    resamples: int
    paths: dict[str, tuple[str, ...]]  # method -> its observations by seed, below the store
    reference: str  # observations of real images, below the store

    @cached_property
    def file(self) -> Path:
        """Where it is kept. Paths are content addresses: whatever decides the result is in them."""
        question = json.dumps([self.version, self.resamples, sorted(self.paths.items()), self.reference])
        return self.store.root / FOLDER / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.json"

    @cached_property
    def observations(self) -> list[str]:
        return sorted({self.reference, *itertools.chain.from_iterable(self.paths.values())})

    def damage(self) -> dict[str, str]:
        """Observations -> what is wrong with them, of those that can't be used."""
        judged = {path: self.store.damage_of(self.store.root / path) for path in self.observations}
        return {path: reason for path, reason in judged.items() if reason is not None}

    def read(self, say: Callable[[str], None]) -> list[dict[str, Any]] | None:
        """What was worked out before from the same observations, even when those are gone since.

        None where nothing was, or where it is not as it was written, which is said.
        """
        try:
            content = read_stamped(self.file)
            entries: list[dict[str, Any]] = content["entries"]
            now = self._checksums()
            return entries if all(now[path] in (None, then) for path, then in content["inputs"].items()) else None
        except FileNotFoundError:
            return None
        except (Damaged, KeyError, TypeError, AttributeError, OSError):
            say(f"{FOLDER}/{self.file.name} is not as it was written; worked out again")
            return None

    def write(self, entries: list[dict[str, Any]]) -> None:
        """Keep it for the next time, unless the disk is full or read-only."""
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            content = {"inputs": self._checksums(), "entries": json.loads(json.dumps(entries))}
            write_json(self.file, stamped(content))

    def _checksums(self) -> dict[str, str | None]:
        """Observations -> their checksum when their stage was finished; None where they are gone."""
        return {path: self.store.checksum_of(self.store.root / path) for path in self.observations}
