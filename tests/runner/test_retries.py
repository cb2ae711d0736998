"""A stage whose process dies is tried again as long as it gets further; one that does not is given up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.planned import planned

from rpe2d_bench.runner import run
from rpe2d_bench.runner.retries import RETRIES, Deaths
from rpe2d_bench.stages.checkpoint import CHECKPOINT, CURVE
from rpe2d_bench.storage.store import Store


def test_deaths_without_progress_are_counted_and_others_are_not(tiny: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = planned(tiny).trials[0].cells[0].measure
    train = cell.generated.train
    partial = store.partial("train", train.key)
    partial.mkdir(parents=True)
    deaths = Deaths(store)
    deaths.started(cell)
    for age in range(1, 9):  # each time a checkpoint further
        (partial / CHECKPOINT).touch()
        os.utime(partial / CHECKPOINT, ns=(age, age))
        assert deaths.again(cell)
    for _ in range(RETRIES - 1):
        (partial / CURVE).write_text("begun again")  # a start is no progress
        assert deaths.again(cell)
    assert not deaths.again(cell)
    pool = tmp_path / "cache" / "pictures.partial"
    pool.mkdir(parents=True)
    (pool / "done.json").write_text("[1024, 0]")
    assert deaths.again(cell)


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
def test_a_training_outlives_any_number_of_deaths_between_checkpoints(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    """Every worker dies at its second checkpoint, or before its first one."""
    plan = planned(tiny, "train.steps=300", only=["rpe2d"])
    mortal = tmp_path / "sitecustomize.py"
    mortal.write_text(MORTAL.format(step=2 if keeps else 1))
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("MORTAL", str(tmp_path / "deaths"))
    found = run(plan, Store(tmp_path / "runs"), engine="ray")
    deaths = len((tmp_path / "deaths").read_text())
    trained = next(record for record in found if record.stage == "train")
    if keeps:
        assert trained.status == "ok", trained.error
        assert deaths > RETRIES + 1
    else:
        assert (trained.status, deaths) == ("failed", RETRIES + 1)
        assert "Crashed" in str(trained.error)


MORTAL = """
import importlib.abc, importlib.util, os, sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "rpe2d_bench.stages.checkpoint":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            save, count = module.save, []

            def mortal(*arguments):
                count.append(1)
                if len(count) == {step}:
                    with open(os.environ["MORTAL"], "a") as file:
                        file.write("x")
                    os._exit(9)
                save(*arguments)

            module.save = mortal

        spec.loader.exec_module = exec_module
        return spec


if "default_worker.py" in sys.argv[0]:
    sys.meta_path.insert(0, Finder())
"""
