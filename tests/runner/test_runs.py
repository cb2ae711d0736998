"""Whole runs of a tiny experiment: both engines, kills at any moment, what is cached, what fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.planned import planned

from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.runner import run
from rpe2d_bench.storage import records
from rpe2d_bench.storage.store import Store

LONGER = ["train.steps=100", "train.precision=bf16"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from rpe2d_bench.cli import main; main()", *arguments]


def weights(plan: Plan, store: Path) -> dict[str, bytes]:
    folder = store / "stages" / "train"
    return {t.label: (folder / t.stage.key / "weights.safetensors").read_bytes() for t in plan.trials}


def test_a_run_leaves_a_record_for_every_cell_and_repeats_nothing(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny), Store(tmp_path / "runs")
    found = run(plan, store, engine="local")
    assert {r.status for r in found} == {"ok"}
    cells = {(r.method, r.test_resolution) for r in found if r.stage == "measure"}
    sizes = {(16, 16), (24, 24), (16, 32)}
    assert cells == {(method, size) for method in ("extrapolation", "ntk", "rpe2d") for size in sizes}
    assert {r.test_resolution for r in found if r.stage == "floor"} == sizes
    assert {r.model for r in found if r.stage == "train"} == {"rope", "rpe2d"}
    for record in found:
        if record.stage != "train":
            assert set(record.metrics) == {"kid_glyphnet", "accuracy_glyphjudge"}
            assert record.num_samples == 12
        for path in record.artifacts.model_dump(exclude_none=True).values():
            assert (store.root / path).exists()
    touched, lines = _times(store.root / "stages"), (store.root / records.RECORDS_FILE).read_text()
    again = run(plan, store, engine="ray")  # nothing is missing, so Ray is not even started
    assert again == found
    assert touched == _times(store.root / "stages")
    assert lines == (store.root / records.RECORDS_FILE).read_text()


def _times(root: Path) -> dict[Path, int]:
    """When each result was written."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_another_reference_method_needs_new_records_and_no_new_work(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    tiny, store = finished[0], Store(shutil.copytree(finished[1], tmp_path / "runs"))
    touched = _times(store.root / "stages")
    found = run(planned(tiny, "report.reference_method=extrapolation"), store, engine="local")
    assert {r.config.experiment.report.reference_method for r in found} == {"extrapolation"}
    assert touched == _times(store.root / "stages")


def test_methods_that_coincide_share_their_images(tiny: Path) -> None:
    plan = planned(tiny)
    keys = {(c.method, c.test_resolution): c.measure.key for trial in plan.trials for c in trial.cells}
    assert keys["extrapolation", (16, 16)] == keys["ntk", (16, 16)]  # every rule is the identity at the train grid
    assert keys["extrapolation", (24, 24)] != keys["ntk", (24, 24)]


def test_images_of_all_methods_start_from_the_same_noise() -> None:
    from rpe2d_bench.sampling.loop import noise

    together = noise(3, np.arange(5), (1, 8, 12))
    assert (noise(3, np.array([4]), (1, 8, 12)) == together[4:]).all()  # whatever the batch
    assert (noise(4, np.arange(5), (1, 8, 12)) != together).any()


def test_ray_and_this_process_give_the_same_numbers(finished: tuple[Path, Path], tmp_path: Path) -> None:
    plan, here = planned(finished[0]), records.read(finished[1])
    there = run(plan, Store(tmp_path / "there"), engine="ray")
    assert weights(plan, finished[1]) == weights(plan, tmp_path / "there")
    assert {r.identity: r.metrics for r in here if r.stage != "train"} == {
        r.identity: r.metrics for r in there if r.stage != "train"
    }


@pytest.mark.parametrize("delays", [(0.0,), pytest.param((0.0, 0.05, 0.15, 0.4), marks=pytest.mark.slow)])
def test_killed_at_several_moments_a_run_ends_with_the_same_bits(
    tiny: Path, tmp_path: Path, delays: tuple[float, ...]
) -> None:
    """After so many seconds of a training; the first falls into one on a machine of any speed."""
    plan = planned(tiny, *LONGER)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(plan, Store(whole), engine="local")
    options = [argument for override in LONGER for argument in ("--set", override)]
    arguments = ("run", str(tiny), "--engine", "local", "--no-mlflow", "--store", str(killed), *options)
    partial = killed / "stages" / "train"
    checkpoints = 0
    for delay in delays:
        process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, cwd=tmp_path)
        deadline = time.time() + 60
        while time.time() < deadline and process.poll() is None and not list(partial.glob("*.partial/checkpoint.pt")):
            time.sleep(0.002)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        checkpoints += len(list(partial.glob("*.partial/checkpoint.pt")))
    assert checkpoints, "no kill fell into a training; the test would prove nothing"
    run(plan, Store(killed), engine="local")
    assert weights(plan, killed) == weights(plan, whole)
    metrics = [{r.identity: r.metrics for r in records.read(store) if r.stage != "train"} for store in (whole, killed)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_killed_worker_of_ray_is_replaced(tiny: Path, tmp_path: Path) -> None:
    overrides = ("train.steps=2000",)  # seconds on any machine, so that a worker is found at it
    plan, store = planned(tiny, *overrides), tmp_path / "runs"
    arguments = ("run", str(tiny), "--no-mlflow", "--store", str(store), "--set", overrides[0])
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.time() + 120
    victims: list[int] = []
    while time.time() < deadline and not victims:
        time.sleep(0.02)
        if list((store / "stages" / "train").glob("*.partial/checkpoint.pt")):
            victims = _pids_of("ray::make_stage", process.pid)
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    found = records.read(store)
    assert {r.status for r in found} == {"ok"}
    assert len([r for r in found if r.stage == "train"]) == len(plan.trials)


def _pids_of(title: str, ancestor: int) -> list[int]:
    """Processes below `ancestor` whose title begins so."""
    parents, titled = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_text().startswith(title):
                titled.append(int(folder.name))
        except OSError:
            continue

    def below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == ancestor:
                return True
        return False

    return [pid for pid in titled if below(pid)]


def test_a_corrupt_checkpoint_is_stated_so_and_training_starts_again(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    plan, damaged = planned(finished[0]), Store(tmp_path / "damaged")
    for trial in plan.trials:
        partial = damaged.partial("train", trial.stage.key)
        partial.mkdir(parents=True)
        (partial / "checkpoint.pt").write_bytes(b"not a checkpoint")
        (partial / "curve.jsonl").write_text('{"step": 4, "lo')
    found = run(plan, damaged, engine="local")
    assert {r.status for r in found} == {"ok"}
    assert weights(plan, finished[1]) == weights(plan, damaged.root)
    notices = (damaged.root / "progress" / "notices.log").read_text()
    assert notices.count("checkpoint.pt has no digest; starting again") == len(plan.trials)


def test_a_diverged_training_is_shown_as_failed_and_the_rest_goes_on(tiny: Path, tmp_path: Path) -> None:
    override = "models.rope.train={lr: 10, warmup: 0, grad_clip: 1.0e+6}"
    found = run(planned(tiny, override), Store(tmp_path / "runs"), engine="local")
    by_status = {status: {r.model for r in found if r.status == status and r.model} for status in ("ok", "failed")}
    assert by_status == {"ok": {"rpe2d"}, "failed": {"rope"}}
    assert all("diverged" in (r.error or "") for r in found if r.status == "failed")


def test_resources_never_enter_a_key(tiny: Path) -> None:
    first = planned(tiny)
    second = planned(tiny, "resources.sample_batch=7", "resources.trials_in_parallel=1")
    assert first.run == second.run
    assert [stage.key for stage in first.measures()] == [stage.key for stage in second.measures()]
    assert first.run != planned(tiny, "train.lr=2.0e-3").run


def test_writing_a_default_out_changes_no_key(tiny: Path) -> None:
    first = planned(tiny)
    second = planned(tiny, "models.rope.encoding={kind: axial_rope, frequencies: {kind: geometric}}", "train.ema=0.999")
    assert [trial.stage.key for trial in first.trials] == [trial.stage.key for trial in second.trials]


def test_the_sample_batch_changes_no_image(finished: tuple[Path, Path], tmp_path: Path) -> None:
    plan, other = planned(finished[0]), planned(finished[0], "resources.sample_batch=5")
    one, two = Store(finished[1]), Store(shutil.copytree(finished[1], tmp_path / "runs"))
    shutil.rmtree(two.root / "stages" / "sample")
    shutil.rmtree(two.root / "stages" / "measure")
    run(other, two, engine="local")
    for stage in plan.measures():
        folder = f"stages/sample/{stage.generated.key}/samples.npz"
        if (one.root / folder).exists():
            first, second = (np.load(store.root / folder)["pictures"].astype(int) for store in (one, two))
            assert np.abs(first - second).max() <= 1  # sums in another order round differently
