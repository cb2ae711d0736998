"""A bare machine: killed, stopped by its limit, resumed, brought back, and measured without training anything anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rpe2d_bench.detached import __main__ as detached
from rpe2d_bench.detached import job as jobs
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.storage.store import Store

BARE = Path(__file__).parent / "bare.py"
LONGER = ("train.steps=100",)


def planned(path: Path, *overrides: str) -> Plan:
    return make_plan(load_experiment(path, overrides), overrides)


def bare(*arguments: object) -> list[str]:
    return [sys.executable, str(BARE), *map(str, arguments)]


@pytest.mark.slow
def test_killed_stopped_resumed_brought_back_and_measured(tiny: Path, tmp_path: Path) -> None:
    plan, job = planned(tiny, *LONGER), tmp_path / "job.json"
    overrides = [part for override in LONGER for part in ("--set", override)]
    assert detached.main(["prepare", str(tiny), *overrides, "--job", str(job)]) == 0
    there, out = Store(tmp_path / "there"), tmp_path / "out"
    command = bare("run", job, "--store", there.root, "--out", out)
    rope = plan.trials[0].stage
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (there.partial("train", rope.key) / "checkpoint.pt").exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    for limit, code in ((0.1, 3), (600, 0)):  # the first time is over at once
        finished = subprocess.run([*command, "--limit", str(limit)], capture_output=True, text=True)
        assert finished.returncode == code, finished.stdout + finished.stderr
        assert ("out of time" in finished.stdout) == (code == 3)

    here = Store(tmp_path / "here")
    plain = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()"]
    subprocess.run([*plain, "unpack", str(out), "--store", str(here.root)], check=True, capture_output=True)
    brought = {path: path.stat().st_mtime_ns for path in sorted(here.root.glob("stages/*/*/*"))}
    found = run(plan, here, engine="local")
    assert {record.status for record in found} == {"ok"}
    assert {path: path.stat().st_mtime_ns for path in brought} == brought  # nothing was trained or sampled anew
    stages = {path.parts[-3] for path in brought}
    assert stages == {"train", "sample"}

    undisturbed = Store(tmp_path / "undisturbed")
    run(plan, undisturbed, engine="local")
    for trial in plan.trials:
        name = f"{trial.stage.key}/weights.safetensors"
        expected = load_file(undisturbed.root / "stages" / "train" / name)
        for key, value in load_file(here.root / "stages" / "train" / name).items():
            assert torch.equal(value, expected[key]), key


def test_stages_stop_when_their_time_is_over_and_continue_exactly(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, "train.steps=60", "resources.sample_batch=5")
    sample = plan.trials[0].cells[0].measure.generated
    store, whole = Store(tmp_path / "parts"), Store(tmp_path / "whole")
    late = RunContext(store, plan.experiment.resources, until=time.monotonic())
    steps = []
    for stage in (plan.trials[0].stage, sample):
        for _ in range(10):
            try:
                stage.make(late)
                break
            except OutOfTime:
                steps.append(stage.name)
    assert steps == ["train"] * 3 + ["sample"] * 2  # the pool, 25 and 50 of 60 steps; 5 and 10 of 12 images
    sample.make(RunContext(whole, plan.experiment.resources))
    for name in ("train", "sample"):
        folders = [next((root / "stages" / name).iterdir()) for root in (store.root, whole.root)]
        file = {"train": "weights.safetensors", "sample": "samples.npz"}[name]
        first, second = (load_file(f / file) if name == "train" else dict(np.load(f / file)) for f in folders)
        for key, value in first.items():
            assert (value == second[key]).all()


def test_a_job_holds_the_stages_of_its_plan(tiny: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    detached.main(["prepare", str(tiny), "--set", "models.rpe2d.init={model: rope}", "--job", str(job)])
    plan = planned(tiny, "models.rpe2d.init={model: rope}")
    read = jobs.resolved(jobs.read(job))
    assert list(read.trainings.values()) == [trial.stage for trial in plan.trials]
    generated = {measure.generated.key: measure.generated for trial in plan.trials for measure in trial.distinct()}
    assert {sample.key: sample for sample in read.samples} == generated
    for stage in (*read.trainings.values(), *read.samples):
        given = stage.key
        del stage.__dict__["key"]
        assert stage.key == given  # worked out anew


def test_other_images_are_refused(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.json"
    detached.main(["prepare", str(tiny), "--job", str(job)])
    job.write_text(job.read_text().replace(planned(tiny).trials[0].stage.revision, "other-images"))
    assert detached.main(["run", str(job), "--store", str(tmp_path / "runs"), "--limit", "1"]) == 2
    assert "are not those of the job" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no such job"), ("{", "is not a job"), ('{"format": 0}', "another version")]
)
def test_what_is_no_job(text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    assert detached.main(["run", str(tmp_path / "job.json")]) == 2
    assert message in capsys.readouterr().err
