"""What protects a store, one by one, and how to take it out: the campaign has to notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Equal:
    """Equal to every digest."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def _checkpoint() -> None:
    from rpe2d_bench.storage import digests

    original = digests._sha256

    def same(file: Any, length: int) -> str:
        original(file, length)
        file.seek(length + len(digests._MARK))
        return str(file.read(64).decode("ascii", "replace"))

    digests._sha256 = same


def _samples() -> None:
    from rpe2d_bench.storage import resumable_array

    resumable_array._digest = lambda images: _Equal()  # type: ignore[assignment, return-value]


def _documents() -> None:
    from rpe2d_bench.analysis import kept_comparison
    from rpe2d_bench.storage import digests, record_lines, resumable_array

    def unstamped(document: Any) -> dict[str, Any]:
        if not isinstance(document, dict):
            raise digests.Damaged("is not a JSON object")
        return {name: value for name, value in document.items() if name != digests.DIGEST}

    digests.unstamped = record_lines.unstamped = unstamped
    assert (
        kept_comparison.read_stamped is resumable_array.read_stamped is digests.read_stamped
    )  # they use digests.unstamped


def _stages() -> None:
    from rpe2d_bench.storage import store

    store._damage = lambda folder: None
    store.Store.damage_of = lambda self, path: None if path.is_file() else "missing"  # type: ignore[method-assign]


def _pool() -> None:
    from rpe2d_bench.data import image_pool

    image_pool._crc32 = lambda array, count: _Equal()  # type: ignore[assignment, return-value]


def _lock() -> None:
    from rpe2d_bench.storage.store import Store

    @contextmanager
    def free(self: Store, name: str, say: Callable[[str], None]) -> Iterator[None]:
        yield

    Store._lock = free  # type: ignore[method-assign]


def _disk() -> None:
    from rpe2d_bench.runner import recorder
    from rpe2d_bench.storage import records, store

    @contextmanager
    def bare(root: Any) -> Iterator[None]:
        yield

    store.disk_errors = records.disk_errors = bare
    assert recorder.records is records


GUARDS = {
    "checkpoint": _checkpoint,
    "samples": _samples,
    "documents": _documents,
    "stages": _stages,
    "pool": _pool,
    "lock": _lock,
    "disk": _disk,
}
