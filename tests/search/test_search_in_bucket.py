"""Searches of machines that share nothing but a bucket: no trial is repeated, and all come to the same values."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.bucket_nodes import ADDRESS, Nodes, nodes_of_a_bucket
from helpers.searched_experiment import PLANTED

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import engine_ray
from rpe2d_bench.runner.search import search
from rpe2d_bench.storage.store import Store

TRAININGS = 6  # three rates for two models


@pytest.fixture
def planted(tmp_path: Path) -> Experiment:
    path = tmp_path / "planted.yaml"
    path.write_text(PLANTED)
    return load_experiment(path)


def stages(store: Store) -> dict[str, tuple[int, float]]:
    assert store.mirror is not None
    return store.mirror.bucket.files("stages")


def trainings(store: Store) -> set[str]:
    return {path.split("/")[2] for path in stages(store) if path.startswith("stages/train/")}


def test_another_machine_goes_on_with_a_search_and_repeats_no_trial(
    planted: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def machine(name: str) -> Store:
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / name))
        return Store(f"file://{tmp_path}/elsewhere")

    lines: list[str] = []

    def killed(sentence: str) -> None:
        lines.append(sentence)
        if sentence.startswith("chose") and len(lines) > 4:  # for the second model
            raise KeyboardInterrupt

    first = machine("a")
    with pytest.raises(KeyboardInterrupt):
        search(planted, first, engine="local", on_record=killed)
    before = stages(first)
    assert len(trainings(first)) == TRAININGS
    again: list[str] = []
    second = machine("b")
    found = search(planted, second, engine="local", on_record=again.append)
    after = stages(second)
    assert before == {path: after[path] for path in before}
    assert len(trainings(second)) == TRAININGS
    assert [line for line in again if line.startswith("tried model rope")] == []  # known as a whole
    monkeypatch.setattr(engine_ray, "start", lambda *_, **__: pytest.fail("Ray was started"))
    assert search(planted, machine("c"), engine="ray") == found
    assert search(planted, Store(tmp_path / "folder"), engine="local") == found


@pytest.mark.slow
def test_two_drivers_at_once_come_to_the_same_values(planted: Experiment, tmp_path: Path) -> None:
    def driver(name: str) -> subprocess.Popen[str]:
        address = f"file://{tmp_path}/elsewhere"
        typed = ["run", tmp_path / "planted.yaml", "--store", address, "--engine", "local", "--no-mlflow"]
        return subprocess.Popen(
            [sys.executable, "-m", "rpe2d_bench", *typed, "--reports", tmp_path / name / "reports"],
            env={**os.environ, "RPE2D_BENCH_CACHE": str(tmp_path / name)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    drivers = [driver(name) for name in ("a", "b")]
    printed = [each.communicate(timeout=400)[0] for each in drivers]
    assert [each.returncode for each in drivers] == [0, 0], printed
    values = [[line for line in each.splitlines() if line.startswith("chose")] for each in printed]
    assert values[0] == values[1]
    assert len(values[0]) > 2, printed
    made = {path.parent.name for path in (tmp_path / "elsewhere" / "stages" / "train").glob("*/manifest.json")}
    alone = Store(tmp_path / "folder")
    search(planted, alone, engine="local")
    assert alone.keys("train") <= made


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    with nodes_of_a_bucket(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.slow
def test_nodes_that_share_only_a_bucket_search_together(nodes: Nodes, planted: Experiment, tmp_path: Path) -> None:
    for name in ("a", "b"):
        nodes.add(name)
    store, lines = Store(ADDRESS), list[str]()
    found: tuple[Experiment, dict[str, Any]] = search(planted, store, engine="ray", on_record=lines.append)
    assert len([line for line in lines if line.startswith("tried")]) == 9
    made = [{path.parent.name for path in nodes.trained(name) if path.name == "curve.jsonl"} for name in ("a", "b")]
    assert all(made)
    assert made[0] | made[1] == trainings(store)
    assert len(trainings(store)) == TRAININGS
    assert not list((tmp_path / "driver").glob("*/stages/train/*/weights.safetensors"))
    assert search(planted, Store(tmp_path / "folder"), engine="local") == found
