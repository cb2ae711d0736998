"""How often a training writes its state: as asked, or so that writing takes 2 % of its time at most."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages import checkpoint
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store


def test_the_interval_is_as_asked_or_set_by_the_cost() -> None:
    assert Resources(checkpoint_every=3).checkpoint_interval(60.0) == 3
    assert [Resources().checkpoint_interval(cost) for cost in (0.0, 0.1, 0.4, 4.0)] == [20, 20, 20, 200]


def test_a_training_measures_what_its_checkpoints_cost(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_plan(load_experiment(tiny, ("train.steps=200",))).trials[0].stage
    asked: list[float] = []
    saved: list[int] = []

    def interval(self: Resources, cost: float = 0.0) -> float:
        asked.append(cost)
        return 0.0 if not cost else 1e6  # one checkpoint, and after it none

    def save(training: Any, *rest: Any) -> None:
        saved.append(training.step)
        time.sleep(0.2)

    monkeypatch.setattr(Resources, "checkpoint_interval", interval)
    monkeypatch.setattr(checkpoint, "save", save)
    stage.make(RunContext(Store(tmp_path / "runs")))
    assert asked[0] == 0.0
    assert asked[-1] >= 0.2
    assert len(saved) == 1
