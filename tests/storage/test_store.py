"""Stages are whole or absent: kills, corruption, two processes at once, a disk that cannot be written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.store import Store, content_key


def write(folder: Path) -> None:
    (folder / "result").write_text("42")


def test_a_finished_stage_is_not_worked_out_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.make("train", "k", write)

    def again(folder: Path) -> None:
        raise AssertionError("worked out twice")

    assert store.make("train", "k", again) == first
    assert (first / "result").read_text() == "42"
    assert store.has("train", "k")
    assert not store.has("train", "other")


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed", "manifest"])
def test_what_does_not_match_its_checksum_is_made_again_and_stated_so(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    folder = store.make("sample", "k", write)
    result = folder / "result"
    if damage == "changed":
        result.write_text("43")
    elif damage == "truncated":
        result.write_text("4")
    elif damage == "removed":
        result.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    output: list[str] = []
    folder = store.make("sample", "k", write, output.append)
    assert (folder / "result").read_text() == "42"
    assert len(output) == 1
    assert "computing it again" in output[0]


def test_an_interrupted_stage_finds_what_it_had_left(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted(folder: Path) -> None:
        (folder / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make("train", "k", interrupted)
    assert not store.has("train", "k")
    seen = []
    store.make("train", "k", lambda folder: seen.append((folder / "checkpoint").read_text()))
    assert seen == ["half"]


def _slow(root: str, log: str) -> None:
    def work(folder: Path) -> None:
        with Path(log).open("a") as file:
            file.write("worked\n")
        time.sleep(0.3)
        write(folder)

    Store(Path(root)).make("train", "k", work)


def test_two_processes_never_do_the_same_work_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_slow, args=(str(tmp_path / "s"), str(log))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert log.read_text() == "worked\n"


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make("train", "done", write)

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"No space left on device.*--store DIR"):
        store.make("train", "k", full)
    assert store.fetch("train", "done") is not None


def test_a_store_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; name a folder"):
        Store(tmp_path / "file" / "store").make("train", "k", write)


def test_keys_depend_on_what_matters_and_not_on_its_order() -> None:
    key = content_key("train", 1, {"a": 1, "b": [1, 2]})
    assert key == content_key("train", 1, {"b": (1, 2), "a": 1})
    others = [
        ("train", 2, {"a": 1, "b": [1, 2]}),
        ("sample", 1, {"a": 1, "b": [1, 2]}),
        ("train", 1, {"a": 1, "b": [2, 1]}),
    ]
    assert key not in {content_key(*other) for other in others}
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key("train", 1, {"a": float("nan")})
