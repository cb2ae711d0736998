"""How often a training writes its state: as asked, or so that writing takes 2 % of its time at most."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.planned import planned

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.stages import checkpoint
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import Unwritable


def test_the_interval_is_as_asked_or_set_by_the_cost() -> None:
    assert Resources(checkpoint_every=3).checkpoint_interval(60.0) == 3
    assert [Resources().checkpoint_interval(cost) for cost in (0.0, 0.1, 0.4, 4.0)] == [20, 20, 20, 200]


def test_a_training_measures_what_its_checkpoints_cost(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = planned(tiny, "train.steps=200").trials[0].stage
    asked: list[float] = []
    saved: list[int] = []

    def interval(self: Resources, cost: float = 0.0) -> float:
        asked.append(cost)
        return 0.0 if not cost else 1e6  # one checkpoint, and after it none

    def save(state: Any, *rest: Any) -> None:
        saved.append(state["step"])
        time.sleep(0.2)

    monkeypatch.setattr(Resources, "checkpoint_interval", interval)
    monkeypatch.setattr(checkpoint, "save", save)
    stage.make(RunContext(Store(tmp_path / "runs")))
    assert asked[0] == 0.0
    assert asked[-1] >= 0.2
    assert len(saved) == 1


def test_a_training_goes_on_while_its_state_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the disk later is the state of the step it was taken at, and never are two written at once."""
    stage = planned(tiny, "train.steps=200", "resources.checkpoint_every=1e-9").trials[0].stage
    gone_on = threading.Event()
    begun: list[int] = []
    write = checkpoint.save

    def save(state: Any, partial: Path, *rest: Any) -> None:
        begun.append(state["step"])
        assert gone_on.wait(60), "the training waits for its checkpoint"
        assert not (partial / checkpoint.CHECKPOINT).exists() or len(begun) > 1
        write(state, partial, *rest)
        if len(begun) == 1:
            shutil.copy(partial / checkpoint.CHECKPOINT, tmp_path)

    def progress(name: str, key: str, step: int, total: int, facts: Any) -> None:
        if step == 125:
            assert len(begun) <= 1
            gone_on.set()

    monkeypatch.setattr(checkpoint, "save", save)
    resources = Resources(checkpoint_every=1e-9)
    store = Store(tmp_path / "runs")
    folder = stage.make(RunContext(store, resources, progress=progress))
    assert begun[0] == 25
    monkeypatch.setattr(checkpoint, "save", write)
    other = Store(tmp_path / "other")
    partial = other.partial(stage.name, stage.key)
    partial.mkdir(parents=True)
    shutil.copy(tmp_path / checkpoint.CHECKPOINT, partial)
    notices: list[str] = []
    again = stage.make(RunContext(other, resources, notices.append))
    assert notices == []
    assert (again / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_a_checkpoint_that_can_not_be_written_ends_the_training_before_its_last_step(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = planned(tiny, "train.steps=200").trials[0].stage
    seen: list[int] = []

    def save(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def progress(name: str, key: str, step: int, total: int, facts: Any) -> None:
        if total == 200:
            seen.append(step)
            time.sleep(0.002)  # the thread gets its turn

    monkeypatch.setattr(checkpoint, "save", save)
    context = RunContext(Store(tmp_path / "runs"), Resources(checkpoint_every=1e-9), progress=progress)
    with pytest.raises(Unwritable, match="No space left"):
        stage.make(context)
    assert 50 <= max(seen) < 200
