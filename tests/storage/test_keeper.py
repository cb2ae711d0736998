"""What a stage under way has noted is kept elsewhere, seldom enough, and brought where it is newer than here."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from rpe2d_bench.storage import keeper
from rpe2d_bench.storage.bucket import Bucket
from rpe2d_bench.storage.keeper import KEPT, SHARE, Keeper

THERE = "stages/train/k.partial"


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(f"file://{tmp_path}/elsewhere")


def keeper_of(bucket: Bucket, here: Path, holder: str = "a") -> Keeper:
    (here / "partial").mkdir(parents=True, exist_ok=True)
    (here / "progress").mkdir(exist_ok=True)
    return Keeper(bucket, holder, THERE, here / "partial", here / "progress")


def names(bucket: Bucket) -> list[str]:
    return sorted(path.removeprefix(f"{THERE}/") for path in bucket.files(THERE))


def noted(here: Path, text: str, when: float | None = None) -> None:
    (here / "partial" / "under_way.json").write_text(text)
    if when is not None:
        os.utime(here / "partial" / "under_way.json", (when, when))


def test_notes_are_kept_with_what_they_speak_of_when_they_have_changed(bucket: Bucket, tmp_path: Path) -> None:
    kept = keeper_of(bucket, tmp_path)
    (tmp_path / "partial" / "rows.npy").write_text("rows")
    (tmp_path / "partial" / ".half").write_text("half")
    kept.keep()
    assert names(bucket) == []  # rows alone say nothing
    noted(tmp_path, "1")
    kept.keep()
    assert names(bucket) == [KEPT, "rows.npy", "under_way.json"]
    about = json.loads(bucket.read(f"{THERE}/{KEPT}") or b"")
    assert (about["holder"], about["files"]) == ("a", ["rows.npy", "under_way.json"])
    bucket.remove(f"{THERE}/under_way.json")
    kept.keep()
    assert names(bucket) == [KEPT, "rows.npy"]  # nothing has changed
    bucket.remove(f"{THERE}/rows.npy")
    noted(tmp_path, "2", time.time() + 10)
    kept.keep()
    assert bucket.read(f"{THERE}/under_way.json") == b"2"
    assert names(bucket) == [KEPT, "under_way.json"]  # the rows are as they were uploaded: not again


def test_keeping_takes_a_small_part_of_the_time(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, now, put = keeper_of(bucket, tmp_path), [100.0], Bucket.put

    def slow(self: Bucket, *arguments: object) -> None:
        now[0] += 3.0
        put(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "put", slow)
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    noted(tmp_path, "1")
    kept.keep()
    assert kept._due == 103.0 + SHARE * 3.0


@pytest.mark.parametrize(
    ("holder", "here", "brought"),
    [
        ("b", None, True),
        ("b", -60.0, True),  # what lies here is older
        ("b", 60.0, False),
        ("a", None, True),  # this machine's own, whose disk was emptied
        ("a", -60.0, False),
    ],
)
def test_what_was_left_elsewhere_is_brought_unless_here_is_more(
    bucket: Bucket, tmp_path: Path, holder: str, here: float | None, brought: bool
) -> None:
    other = keeper_of(bucket, tmp_path / "other", holder)
    (tmp_path / "other" / "partial" / "rows.npy").write_text("there")
    noted(tmp_path / "other", "there")
    other.keep()
    mine = keeper_of(bucket, tmp_path / "mine")
    if here is not None:
        noted(tmp_path / "mine", "here", time.time() + here)
    mine.resume()
    found = {path.name: path.read_text() for path in (tmp_path / "mine" / "partial").iterdir()}
    there = {"rows.npy": "there", "under_way.json": "there"}
    assert found == (there if brought else {} if here is None else {"under_way.json": "here"})
    if brought:
        bucket.write(f"{THERE}/under_way.json", b"as it was")
        mine.keep()
        assert bucket.read(f"{THERE}/under_way.json") == b"as it was"  # what was brought is no news


def test_progress_is_removed_when_the_stage_ends(bucket: Bucket, tmp_path: Path) -> None:
    kept = keeper_of(bucket, tmp_path)
    noted(tmp_path, "1")
    (tmp_path / "progress" / "run-k.json").write_text("{}")
    (tmp_path / "progress" / "run.run").write_text("{}")
    kept._tell()
    assert list(bucket.files("progress")) == ["progress/run-k.json"]
    bucket.write("progress/other-k.json", b"{}")
    kept.keep()
    kept.start()
    kept.stop()
    assert list(bucket.files("progress")) == ["progress/other-k.json"]
    assert "under_way.json" in names(bucket)
