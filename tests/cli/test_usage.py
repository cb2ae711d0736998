"""What lies in a store, and that nothing which is needed, young or worked on is ever freed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from helpers.console import Bench

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage import usage
from rpe2d_bench.storage.files import locked
from rpe2d_bench.storage.store import Store

OLD = time.time() - 30 * 86_400


def age(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (OLD, OLD))


def lists(bench: Bench, *arguments: str | Path) -> list[str]:
    """Paths that gc names."""
    output = bench("gc", *arguments)
    assert output.code == 0, output.err
    return sorted(line.split()[2].rstrip(":") for line in output.out.splitlines()[:-1])


def test_the_store_is_shown_by_stage_and_size(bench: Bench, trained: Path) -> None:
    rows = {(row["what"], row["state"]): row for row in json.loads(bench("store", trained, "--json").out)}
    assert rows["train", "finished"]["number"] == 2
    assert sum(row["bytes"] for row in rows.values()) == sum(
        p.stat().st_size for p in trained.rglob("*") if p.is_file()
    )
    assert "train" in bench("store", trained).out
    assert bench("store", "nowhere").code == 2


def test_only_what_nothing_needs_is_freed(bench: Bench, trained: Path) -> None:
    store = Store(trained)
    before = json.loads(bench("store", trained, "--json").out)
    left = [store.make("sample", "f" * 32, _one_file), store.partial("train", "e" * 32)]
    left[1].mkdir(parents=True)
    (left[1] / "checkpoint.pt").write_text("much")
    assert lists(bench, "--store", trained) == []  # all of it is young
    age(trained)
    pools = [path for path in (trained / "cache").iterdir() if path.is_dir()]
    expected = sorted(store.relative(path) for path in [*left, *pools])
    assert pools
    assert lists(bench, "--store", trained) == expected
    assert all(path.exists() for path in [*left, *pools])  # a dry run
    assert lists(bench, "--store", trained, "--keep", trained.parent / "tiny.yaml") == expected
    with locked(trained / "locks" / f"train-{'e' * 32}"):  # a training under way, which may be reading its pool
        assert lists(bench, "--store", trained) == [store.relative(left[0])]
    assert lists(bench, "--store", trained, "--delete") == expected
    assert not any(path.exists() for path in [*left, *pools])
    kept = {row["what"]: row["number"] for row in before if row["state"] == "finished" and row["what"] != "pool"}
    after = json.loads(bench("store", trained, "--json").out)
    assert kept == {row["what"]: row["number"] for row in after if row["state"] == "finished"}


def test_the_plan_of_a_file_that_is_kept_needs_its_unrecorded_stages(bench: Bench, trained: Path) -> None:
    (trained / "records.jsonl").rename(trained / "aside")
    try:
        age(trained)
        assert any(path.startswith("stages/train") for path in lists(bench, "--store", trained))
        assert not any(
            path.startswith("stages")
            for path in lists(bench, "--store", trained, "--keep", trained.parent / "tiny.yaml")
        )
    finally:
        (trained / "aside").rename(trained / "records.jsonl")


def test_records_that_cannot_be_read_free_nothing(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("{broken\n")
    with pytest.raises(UserError, match=r"records.jsonl:1 .*nothing is freed before"):
        usage.recorded(Store(tmp_path))


def test_what_is_taken_meanwhile_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.make("sample", "k", _one_file)
    item = next(usage.items(store))
    with locked(tmp_path / "locks" / "sample-k"):
        assert not usage.free(item)
    assert folder.exists()
    assert usage.free(item)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("line", ["run tiny.yaml --engine local --store", "plan tiny.yaml --store", "status", "store",
                                  "work tiny.yaml --store", "gc --store", "report --store", "sync --store",
                                  "ui --store", "ls runs --store"])  # fmt: skip
def test_addresses_that_nothing_understands_are_refused(
    bench: Bench, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path))
    output = bench(*line.replace("tiny.yaml", str(tiny)).split(), "nosuch://bucket/runs")
    assert output.code == 2
    assert output.err.startswith("error: the store nosuch://bucket/runs can't be used (Unrecognized filesystem type")
    assert not Path("nosuch:").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [("status {address}", "nothing runs in {address}"),
     ("plan {tiny} --store {address}", "store {address})"),
     ("sample {tiny} --method ntk --resolution 24 --out a.png --store {address}", "--only ntk --store {address}"),
     ("export {tiny} --model rope --out a.safetensors --store {address}", "--store {address}"),
     ("report --store {address}", "no records at {address};"),
     ("sync --store {address}", "no records at {address};")],
)  # fmt: skip
def test_a_store_at_an_address_is_called_by_it(
    bench: Bench, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    pytest.importorskip("pyarrow.fs")
    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / "cache"))
    address = f"file://{tmp_path}/elsewhere"
    output = bench(*line.format(tiny=tiny, address=address).split())
    assert expected.format(address=address) in output.out + output.err
    assert str(tmp_path / "cache") not in output.out + output.err


def test_features_that_measure_kept_are_named_and_freed(bench: Bench, tmp_path: Path) -> None:
    kept = tmp_path / "features" / ("f" * 32)
    kept.mkdir(parents=True)
    (kept / "whole.features").write_bytes(bytes(1000))
    (row,) = json.loads(bench("store", tmp_path, "--json").out)
    assert (row["what"], row["state"], row["number"], row["bytes"]) == ("features", "finished", 1, 1000)
    assert lists(bench, "--store", tmp_path) == []  # young
    age(kept)
    assert lists(bench, "--store", tmp_path, "--delete") == [f"features/{'f' * 32}"]
    assert not kept.exists()


def _one_file(folder: Path) -> None:
    (folder / "samples").write_bytes(bytes(1000))
