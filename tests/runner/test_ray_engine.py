"""How Ray's workers start: what a process has to know before its first thread cannot be told later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.planned import planned

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.cpu import ONE_HEAP
from rpe2d_bench.runner import engine_ray
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store


@pytest.mark.slow
def test_workers_know_their_threads_and_keep_one_heap(tmp_path: Path) -> None:
    import ray

    engine_ray.start(RunContext(Store(tmp_path), Resources(cpus_per_trial=1, trials_in_parallel=1)))
    try:
        found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    finally:
        ray.shutdown()
    assert found["OMP_NUM_THREADS"] == "1"
    assert {name: found[name] for name in ONE_HEAP} == ONE_HEAP


def test_a_long_tmpdir_leaves_ray_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output: list[str] = []
    context = RunContext(Store(tmp_path), say=output.append)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    engine_ray._make_room_for_sockets(context)
    assert "RAY_TMPDIR" not in os.environ
    monkeypatch.setattr("tempfile.tempdir", "/scratch/" + 12 * "of_a_job/")
    engine_ray._make_room_for_sockets(context)
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    assert "RAY_TMPDIR chooses" in output[0]
    monkeypatch.delenv("RAY_TMPDIR")


def test_ray_that_does_not_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**options: object) -> None:
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /scratch/x")

    monkeypatch.setattr("ray.init", fails)
    with pytest.raises(UserError, match=r"Ray did not start on this machine .*107 bytes.*RAY_TMPDIR.*--engine local"):
        engine_ray._init(num_cpus=1)


def test_every_phase_of_a_training_is_shown(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny)
    shown: list[tuple[str, int, int]] = []
    context = RunContext(
        Store(tmp_path / "runs"),
        progress=lambda *printed: shown.append((printed[4].get("phase", ""), printed[2], printed[3])),
    )
    plan.trials[1].cells[0].measure.make(context)
    phases = list(dict.fromkeys(phase for phase, _, _ in shown))
    assert phases == ["", "loading the model", "opening the data", "rendering training images", "building the model",
                      "first step", "validation loss", "features", "scoring"]  # fmt: skip
    assert ("rendering training images", 0, 64) in shown
    assert ("rendering training images", 64, 64) in shown
    assert [done for phase, done, total in shown if not phase and total == 8] == list(range(1, 9))  # each step
