"""What machines tell each other of a store elsewhere: news alone is moved, and nobody's own files are touched."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from rpe2d_bench.storage import exchange, machine, records
from rpe2d_bench.storage.bucket import Bucket
from rpe2d_bench.storage.mirror import Mirror
from rpe2d_bench.storage.store import Store


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Store, Mirror]]:
    """The store as the machine of that name has it."""

    def open_store(name: str) -> tuple[Store, Mirror]:
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / name))
        store = Store(f"file://{tmp_path}/elsewhere")
        assert store.mirror is not None
        return store, store.mirror

    return open_store


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were read or written elsewhere, one after the other."""
    paths: list[str] = []
    download, write, upload = Bucket.download, Bucket.write, Bucket.upload
    monkeypatch.setattr(Bucket, "download", lambda self, path, to: (paths.append(path), download(self, path, to))[1])
    monkeypatch.setattr(Bucket, "write", lambda self, path, what: (paths.append(path), write(self, path, what))[1])
    monkeypatch.setattr(Bucket, "upload", lambda self, file, path: (paths.append(path), upload(self, file, path))[1])
    return paths


def added(store: Store, number: int) -> None:
    with (store.root / records.RECORDS_FILE).open("a") as file:
        file.write(f'{{"created": "2026-01-0{number}"}}\n')
    exchange.send(store)


def known(store: Store) -> list[str]:
    return [json.loads(line)["created"][-1] for line in (store.root / records.RECORDS_FILE).read_text().splitlines()]


def test_news_comes_and_what_is_known_is_not_moved_again(
    opened: Callable[[str], tuple[Store, Mirror]], moved: list[str]
) -> None:
    (first, mirror), (second, _) = opened("a"), opened("b")
    exchange.send(first)
    assert moved == []  # nothing to tell
    added(first, 1)
    exchange.bring(second)
    assert known(second) == ["1"]
    assert moved == [f"records/{mirror.holder}.jsonl"] * 2
    moved.clear()
    exchange.send(first)
    exchange.bring(second)
    assert moved == []
    added(first, 2)
    exchange.bring(second)
    assert known(second) == ["1", "2"]
    assert moved == [f"records/{mirror.holder}.jsonl"] * 2
    moved.clear()
    exchange.send(second)  # what another told is no news
    assert moved == []


def test_numbers_that_this_machine_measured_come_before_those_of_others(
    opened: Callable[[str], tuple[Store, Mirror]],
) -> None:
    (first, _), (second, _) = opened("a"), opened("b")
    for store, seconds in ((first, 1.0), (second, 2.0)):
        (store.root / machine.FILE).parent.mkdir(parents=True, exist_ok=True)
        (store.root / machine.FILE).write_text(json.dumps({"cpu": {"step": seconds, f"only {seconds:g}": seconds}}))
        exchange.send(store)
    exchange.bring(second)
    found = json.loads((second.root / machine.FILE).read_text())
    assert found == {"cpu": {"step": 2.0, "only 1": 1.0, "only 2": 2.0}}
    third, _ = opened("c")
    exchange.bring(third)
    assert json.loads((third.root / machine.FILE).read_text())["cpu"]["step"] == 1.0  # the first that was told


def test_runs_of_other_machines_come_and_go_and_own_ones_stay(opened: Callable[[str], tuple[Store, Mirror]]) -> None:
    store, mirror = opened("a")
    own, begun = (f"progress/{platform.node()}-{process}.run" for process in (1, 4))
    (store.root / "progress").mkdir(parents=True)
    for name in (own, begun, "progress/elsewhere-2.run"):  # the last has ended
        (store.root / name).write_text("here")
    for name in (own, "progress/elsewhere-3.run", "progress/elsewhere-3-k.json"):
        mirror.bucket.write(name, b"there")
    exchange.bring(store)
    found = {path.name: path.read_text() for path in (store.root / "progress").iterdir()}
    assert found == {Path(own).name: "here", Path(begun).name: "here", "elsewhere-3.run": "there"}


def test_a_run_that_ends_takes_its_own_progress_away(opened: Callable[[str], tuple[Store, Mirror]]) -> None:
    store, mirror = opened("a")
    for name in ("one.run", "one-k.json", "other.run", "other-k.json"):
        mirror.bucket.write(f"progress/{name}", b"{}")
    with exchange.followed(store, "one"):
        pass
    assert sorted(mirror.bucket.files("progress")) == ["progress/other-k.json", "progress/other.run"]


def test_what_was_compared_elsewhere_is_brought_once(
    opened: Callable[[str], tuple[Store, Mirror]], moved: list[str]
) -> None:
    (first, _), (second, _) = opened("a"), opened("b")
    (first.root / exchange.COMPARISONS).mkdir(parents=True)
    (first.root / exchange.COMPARISONS / "k.json").write_text("{}")
    for _ in range(2):
        exchange.send(first)
        exchange.bring(second)
    assert moved == [f"{exchange.COMPARISONS}/k.json"] * 2
    assert (second.root / exchange.COMPARISONS / "k.json").read_text() == "{}"
