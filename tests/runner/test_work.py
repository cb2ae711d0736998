"""`work`: processes that share a store make each stage once, stop at checkpoints, continue exactly, need no Ray."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.planned import planned
from safetensors.torch import load_file

from rpe2d_bench import cli
from rpe2d_bench.cli.work import seconds
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.runner.work import Outcome, in_order, make_stages, names_of
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.storage import records
from rpe2d_bench.storage.machine import Kept
from rpe2d_bench.storage.store import Busy, Store

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "without_ray.py")]


def worked(plan: Plan, root: Path, *names: str, until: float | None = None) -> Outcome:
    context = RunContext(Store(root, wait=False), plan.experiment.resources, until=until)
    return make_stages(plan, context, names_of(",".join(names) or "train,reference,sample,measure"))


def stages(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(root.glob("stages/*/*/*"))}


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_processes_without_ray_make_each_stage_once_and_run_only_records(tiny: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    command = [*COMMAND, "work", str(tiny), "--store", str(store), "--set", "train.steps=100"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    made = stages(store)
    keys = {path.parent.name[:8] for path in made}
    assert sorted(key for text in output for key in re.findall(r"\(\w+ (\w{8})\) is there", text)) == sorted(keys)
    local = ("--engine", "local", "--no-mlflow", "--reports", tmp_path / "reports")
    done = call("run", tiny, "--store", store, "--set", "train.steps=100", *local)
    assert done.returncode == 0, done.stderr
    assert stages(store) == made
    assert {record.status for record in records.read(store)} == {"ok"}
    assert (tmp_path / "reports" / "tiny" / "index.html").exists()


@pytest.mark.slow
def test_killed_stopped_and_continued_with_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, "train.steps=100")
    rope, store = plan.trials[0].stage, Store(tmp_path / "runs")
    command = [*COMMAND, "work", str(tiny), "--store", str(store.root), "--set", "train.steps=100"]
    for signum, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 3)):
        checkpoint = store.partial("train", rope.key) / "checkpoint.pt"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
                assert process.poll() is None, process.stdout and process.stdout.read()
                time.sleep(0.01)
            os.kill(process.pid, signum)
            printed = process.communicate()[0]
        assert process.returncode == code, printed
    assert call(*command[2:]).returncode == 0
    whole = tmp_path / "whole"
    assert not worked(plan, whole, "train").left
    for trial in plan.trials:
        name = f"stages/train/{trial.stage.key}/weights.safetensors"
        expected = load_file(whole / name)
        for key, value in load_file(store.root / name).items():
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


def test_what_another_process_holds_is_passed_over_and_waited_for(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny)
    held, other = (trial.stage for trial in plan.trials)
    store = Store(tmp_path)
    (tmp_path / "locks").mkdir()
    with (tmp_path / "locks" / f"train-{held.key}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store.busy("train", held.key)
        with pytest.raises(Busy):
            held.make(RunContext(Store(tmp_path, wait=False), plan.experiment.resources))
        late = worked(plan, tmp_path, "train", until=time.monotonic() + 4)
        assert (late.made, late.left) == (1, ["train rope 16px seed 0"])
        assert store.has("train", other.key)
        threading.Timer(0.5, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        done = worked(plan, tmp_path, "train")
    assert (done.made, done.left) == (1, [])
    assert not store.busy("train", held.key)


def test_only_the_stages_that_were_asked_for(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny)
    count = Counter(stage.name for _, stage in in_order(plan, Store(tmp_path))[0].values())
    assert (count["train"], count["sample"]) == (2, 8)
    nothing = worked(plan, tmp_path, "sample")  # nobody trains, so there is nothing to wait for
    assert (nothing.made, len(nothing.left), nothing.failed) == (0, 8, {})
    assert not worked(plan, tmp_path, "train").left
    assert worked(plan, tmp_path, "sample", "reference").made == 8 + count["reference"]
    assert {path.name for path in (tmp_path / "stages").iterdir()} == {"train", "sample", "reference"}
    assert worked(plan, tmp_path).made == count["measure"]
    assert worked(plan, tmp_path).sentences == ["0 stages made by this process, nothing is left; next: rpe2d-bench run"]


def test_what_is_denoised_is_among_the_stages(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, "evaluate.metrics=[denoising_error]", "report.main_metric=denoising_error")
    store = Store(tmp_path / "runs", wait=False)
    outcome = make_stages(plan, RunContext(store))
    assert outcome.left == []
    assert not plan.missing_measures(store)
    assert outcome.made == len({trial.stage.key for trial in plan.trials}) + len(plan.measures())


def test_a_stage_that_fails_is_named_and_the_rest_is_made(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rpe2d-bench", "work", str(tiny), "--store", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", [*command, "--set", "models.rope.train={lr: 10, warmup: 0, grad_clip: 1.0e+6}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr().out
    assert ended.value.code == 1
    assert "failed: train rope 16px seed 0: training diverged" in printed
    assert "measure rpe2d 24px seed 0" in printed


def test_what_cannot_work_is_refused_before_anything_is_made(tiny: Path, tmp_path: Path) -> None:
    for override, words in (("resources.gpus_per_trial=2", "needs Ray"), ("resources.device=mps", "is not here")):
        with pytest.raises(UserError, match=words):
            worked(planned(tiny, override), tmp_path)
    assert not (tmp_path / "stages").exists()
    for text in ("10 minutes", "", "m", "-1s"):
        with pytest.raises(UserError, match="--time-limit"):
            seconds(text)
    assert [seconds(text) for text in ("90", "90s", "10m", "1.5h")] == [90, 90, 600, 5400]
    with pytest.raises(UserError, match="did you mean 'sample'"):
        names_of("train,sampel")


def test_processes_that_share_a_store_measure_one_after_the_other(tmp_path: Path) -> None:
    first, second, seen = Kept(tmp_path, "machine"), Kept(tmp_path, "machine"), []

    def late() -> None:
        with second.alone():
            seen.append(second.get("block"))

    with first.alone():
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.2)
        first.keep("block", 1.5)
    thread.join()
    assert seen == [1.5]


def test_a_report_of_a_store_without_weights_and_samples_shows_the_rest(
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def bench(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["rpe2d-bench", *map(str, arguments)])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        return capsys.readouterr().out

    whole, small = tmp_path / "whole", tmp_path / "small"
    shutil.copytree(finished[1], whole)
    assert "not in the store" not in bench("report", "--store", whole, "--reports", tmp_path / "there")
    shutil.copytree(whole, small, ignore=shutil.ignore_patterns("train", "sample", "cache"))
    printed = bench("report", "--store", small, "--reports", tmp_path / "here")
    assert "not in the store: curve of 2 stages, samples of 8 stages; the report shows what is there" in printed
    pages = [
        (tmp_path / side / "tiny" / "tables" / "kid_glyphnet_train_16.csv").read_text() for side in ("there", "here")
    ]
    assert pages[0] == pages[1]
