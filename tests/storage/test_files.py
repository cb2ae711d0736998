"""Files are replaced whole or not at all, and held by one process at a time."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from rpe2d_bench.storage.files import locked, sha256_of_json, sha256_of_unchanged, write_atomically, write_json


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])

    def torn(temporary: Path) -> None:
        temporary.write_text("[2")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_atomically(path, torn)
    assert json.loads(path.read_text()) == [1]
    assert list(tmp_path.iterdir()) == [path]


def _hold(path: str, held: multiprocessing.synchronize.Event, free: multiprocessing.synchronize.Event) -> None:
    with locked(Path(path)):
        held.set()
        free.wait(10)


def test_who_waits_hears_of_it_and_goes_on_when_the_holder_is_gone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, free = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "locks" / "a"), held, free))
    holder.start()
    assert held.wait(10)
    waited: list[int] = []

    def waiting() -> None:
        waited.append(len(waited))
        if len(waited) == 3:
            free.set()

    with locked(tmp_path / "locks" / "a", waiting, every=0.01):
        assert len(waited) >= 3
    holder.join()


def test_a_file_that_was_replaced_meanwhile_is_locked_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "a"
    context = multiprocessing.get_context("fork")
    held, free = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(path), held, free))
    holder.start()
    assert held.wait(10)

    def waiting() -> None:
        write_atomically(path, lambda temporary: temporary.write_text("new"))
        free.set()

    with locked(path, waiting) as file:
        file.seek(0)
        assert file.read() == b"new"
    holder.join()


def test_digests_see_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = sha256_of_unchanged(path)
    path.write_bytes(b"other")
    assert sha256_of_unchanged(path) != first
    assert sha256_of_json({"b": 1, "a": [0.5]}) == sha256_of_json({"a": [0.5], "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        sha256_of_json({"a": float("nan")}, allow_nan=False)


def test_what_the_holder_raises_is_what_comes_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="weights"), locked(tmp_path / "a"):
        raise FileNotFoundError("weights")
