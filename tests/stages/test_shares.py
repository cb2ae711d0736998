"""Shares of a stage: the same bits however many there are, each made once and again alone, gone when it is whole."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.order import Order
from rpe2d_bench.plan.work import work_of
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.stages.share import Share
from rpe2d_bench.storage.files import locked
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Busy, Store

WITHOUT_RAY = Path(__file__).parents[1] / "helpers" / "without_ray.py"
MANY = (
    "evaluate.num_samples=300",
    "train.steps=2",
    "resolutions=[{train: 16, test: [16, 32]}]",
    "models={rope: {encoding: {kind: axial_rope}}}",
    "methods={extrapolation: {model: rope}, upscaled: {model: rope, upscale: true}}",
    "report.reference_method=extrapolation",
)


def planned(path: Path, size: int, *overrides: str) -> Plan:
    overrides = (*MANY, f"resources.images_per_share={size}", *overrides)
    return make_plan(load_experiment(path, overrides), overrides)


def numbers(records: list[Record]) -> list[Any]:
    """What records say of numbers, without what differs between two runs of the same."""
    found = []
    for r in records:
        values = {name: value for name, value in r.metrics.items() if name != "images_per_second"}
        found.append((r.stage, r.method, r.test_resolution, r.key, values, r.measurement, r.num_samples, r.status))
    return sorted(found, key=repr)


def files(store: Store) -> dict[str, bytes]:
    """Samples and what the nets saw, by their place."""
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for name in ("samples.npz", "observations.npz")
        for path in sorted(store.root.glob(f"stages/*/*/{name}"))
    }


@pytest.mark.slow
def test_one_two_and_five_shares_leave_the_same_files_and_numbers(tiny: Path, tmp_path: Path) -> None:
    found = []
    for size, shares in ((2048, 0), (192, 2), (64, 5)):
        plan, store = planned(tiny, size), Store(tmp_path / str(size))
        generated = plan.trials[0].cells[0].measure.generated  # type: ignore[union-attr]
        assert isinstance(generated, SampleStage)
        assert len(generated.shares(plan.experiment.resources)) == shares
        records = numbers(run(plan, store, engine="local"))
        assert {record[-1] for record in records} == {"ok"}
        assert not list(store.root.glob("stages/*/*.*"))  # no share is left
        found.append((records, files(store)))
    for other in found[1:]:
        assert [name for name, content in found[0][1].items() if other[1].get(name) != content] == []
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) > 8


def test_a_share_that_was_stopped_goes_on_and_a_damaged_one_is_made_again_alone(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny, 64), Store(tmp_path / "runs")
    measure = plan.trials[0].cells[0].measure
    assert isinstance(measure, MeasureStage)
    sample = measure.generated
    assert isinstance(sample, SampleStage)
    resources = plan.experiment.resources.model_copy(update={"sample_batch": 32})
    shares = sample.shares(resources)
    sample.train.make(RunContext(store, resources))
    with pytest.raises(OutOfTime):  # after 32 of 64 images
        shares[0].make(RunContext(store, resources, until=time.monotonic()))
    assert (store.partial("sample", shares[0].key) / "under_way.json").exists()
    for share in shares:
        share.make(RunContext(store, resources))
    when = {share.key: store.folder("sample", share.key).stat().st_mtime_ns for share in shares}
    damaged = store.folder("sample", shares[1].key) / "images.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    output: list[str] = []
    for share in shares:
        share.make(RunContext(store, resources, output.append))
    now = {share.key: store.folder("sample", share.key).stat().st_mtime_ns for share in shares}
    assert [key for key in when if now[key] != when[key]] == [shares[1].key]
    assert len(output) == 1
    assert "computing it again" in output[0]
    folder = sample.make(RunContext(store, resources))
    assert json.loads((folder / "result.json").read_text())["count"] == 300
    assert not any(store.has("sample", share.key) for share in shares)
    assert shares[0].make(RunContext(store, resources)) is None  # nobody makes a share of what is whole
    assert not store.partial("sample", shares[0].key).exists()
    whole = sample.make(RunContext(Store(tmp_path / "whole"), resources.model_copy(update={"images_per_share": 2048})))
    assert (folder / "samples.npz").read_bytes() == (whole / "samples.npz").read_bytes()


def working(path: Path, root: Path) -> subprocess.Popen[str]:
    """`rpe2d-bench work` in a process of its own, without Ray."""
    sets = [word for override in (*MANY, "resources.images_per_share=64") for word in ("--set", override)]
    command = [sys.executable, str(WITHOUT_RAY), "work", str(path), "--store", str(root), *sets]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_processes_share_one_sampling_and_one_that_is_killed_takes_its_share_alone(
    tiny: Path, tmp_path: Path
) -> None:
    plan, store = planned(tiny, 64), Store(tmp_path / "runs")
    sample = plan.trials[0].cells[0].measure.generated  # type: ignore[union-attr]
    assert isinstance(sample, SampleStage)
    sample.train.make(RunContext(store, plan.experiment.resources))
    first = sample.shares(plan.experiment.resources)[0]
    with working(tiny, store.root) as killed:
        while not store.has("sample", first.key):  # in the middle of the sampling
            assert killed.poll() is None, killed.stdout and killed.stdout.read()
            time.sleep(0.01)
        killed.kill()
    both = [working(tiny, store.root) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    made = Counter(re.findall(r"(\S.*) is there", "\n".join(printed)))
    assert set(made.values()) == {1}
    alone = Store(tmp_path / "alone")
    run(planned(tiny, 2048), alone, engine="local")
    records = numbers(run(plan, store, engine="local"))
    assert {record[-1] for record in records} == {"ok"}
    assert files(store) == files(alone)
    assert not list(store.root.glob("stages/*/*.*"))


@pytest.mark.slow
def test_two_workers_of_ray_share_what_one_process_makes(tiny: Path, tmp_path: Path) -> None:
    stores = [Store(tmp_path / engine) for engine in ("ray", "local")]
    pools = ("train.num_pictures=4096", "resources.images_per_share=64")  # of the pool, too: 8 shares of 1,024 images
    plan = planned(tiny, 64, *pools)
    assert {job.kind for job in work_of(plan, stores[0], lambda _: 1.0).jobs} == {
        "training", "pool", "share", "cell", "floor"
    }  # fmt: skip
    found = [numbers(run(plan, store, engine=store.root.name)) for store in stores]  # type: ignore[arg-type]
    assert {record[-1] for record in found[0]} == {"ok"}
    assert found[0] == found[1]
    assert files(stores[0]) == files(stores[1])
    assert not list(stores[0].root.glob("stages/*/*.*"))


def test_what_another_process_holds_is_one_share_and_not_the_stage(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny, 64), Store(tmp_path / "runs", wait=False)
    sample = plan.trials[0].cells[0].measure.generated  # type: ignore[union-attr]
    assert isinstance(sample, SampleStage)
    context = RunContext(store, plan.experiment.resources)
    sample.train.make(context)
    first, second, *_ = sample.shares(plan.experiment.resources)
    with locked(store.root / "locks" / f"sample-{first.key}"):
        assert store.busy("sample", first.key)
        with pytest.raises(Busy):
            first.make(context)
        second.make(context)
    assert [store.has("sample", share.key) for share in (first, second)] == [False, True]


def test_what_was_begun_in_one_piece_goes_on_in_one(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny, 64), Store(tmp_path / "runs")
    sample = plan.trials[0].cells[0].measure.generated  # type: ignore[union-attr]
    assert isinstance(sample, SampleStage)
    before = planned(tiny, 2048).experiment.resources
    sample.train.make(RunContext(store, before))
    with pytest.raises(OutOfTime):
        sample.make(RunContext(store, before, until=time.monotonic()))
    begun = store.partial("sample", sample.key) / "under_way.json"
    assert begun.exists()
    assert not [job for job in work_of(plan, store, lambda _: 0.0).jobs if job.key.startswith(f"{sample.key}.")]
    folder = sample.make(RunContext(store, plan.experiment.resources))
    assert not list(store.root.glob("stages/sample/*.*-*"))
    with np.load(folder / "samples.npz") as images:
        assert images["pictures"].shape == (300, 1, 16, 16)


def test_a_share_of_what_is_whole_meanwhile_is_not_made_and_leaves_nothing(tmp_path: Path) -> None:
    class Whole:
        name, key, looks = "sample", "k", 0

        def is_there(self, store: Store) -> bool:
            self.looks += 1
            return self.looks > 1  # finished after the first look

        def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
            raise AssertionError("made for nobody")

    store, share = Store(tmp_path), Share(Whole(), 0, 64)
    partial = store.partial("sample", share.key)
    partial.mkdir(parents=True)
    (partial / "under_way.npy").write_text("of a killed attempt")
    assert share.make(RunContext(store, Resources())) is None
    assert not partial.exists()


def test_samples_are_seen_by_a_machine_that_has_no_copy_of_them(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, stores = planned(tiny, 64, "evaluate.num_samples=128"), []
    for machine in "ab":
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / machine))
        stores.append(Store(f"file://{tmp_path}/elsewhere"))
    one, other = (RunContext(store, plan.experiment.resources) for store in stores)
    measure = plan.trials[0].cells[0].measure
    assert isinstance(measure, MeasureStage)
    share = measure.shares(plan.experiment.resources)[1]
    folder = share.make(one)
    assert folder is not None
    seen = (folder / "observations.npz").read_bytes()
    stores[0].remove(share.name, share.key)
    measure.generated.make(one)  # and the shares of the samples are gone
    folder = share.make(other)
    assert folder is not None
    assert (folder / "observations.npz").read_bytes() == seen


def test_a_failed_share_fails_its_cells_and_no_others(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpe2d_bench.errors import UserError

    plan, store = planned(tiny, 64), Store(tmp_path / "runs")
    broken = plan.trials[0].cells[-1].measure
    whole = MeasureStage.make_share

    def fails(self: MeasureStage, share: Any, partial: Path, context: RunContext) -> None:
        if self.key == broken.key and share.first == 64:
            raise UserError("no")
        whole(self, share, partial, context)

    monkeypatch.setattr(MeasureStage, "make_share", fails)
    records = run(plan, store, engine="local")
    failed = {(record.method, record.key) for record in records if record.status == "failed"}
    assert failed == {("upscaled", broken.key)}
    assert any(record.method == "extrapolation" and record.status == "ok" for record in records)


def test_scores_hold_no_gpu_whatever_the_size(tiny: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    gpu = [f"resources.{each}" for each in ("device=cuda", "gpus_per_trial=2", "trials_in_parallel=4")]
    work = work_of(planned(tiny, 64, *gpu), store, lambda _: 1.0)
    assert work.slots == 8
    slots = {kind: {job.slots for job in work.jobs if job.kind == kind} for kind in ("training", "share", "cell")}
    assert slots == {"training": {2}, "share": {1}, "cell": {0}}
    order = Order(work.jobs, slots=work.slots)
    while order.running or order.waiting:
        while order.next() is not None:
            pass
        assert sum(job.slots for job in order.running.values()) <= 8
        order.ended(next(iter(order.running)))
    small = work_of(planned(tiny, 2048, *gpu), store, lambda _: 1.0).jobs
    slots = {kind: {job.slots for job in small if job.kind == kind} for kind in ("share", "cell", "floor")}
    assert slots == {"share": {1}, "cell": {0}, "floor": {0}}
    shares = [job for job in small if job.kind == "share"]
    cells = [job for job in small if job.kind == "cell"]
    assert {part.kind.split("/")[0] for job in shares for part in job.parts} == {"compute", "data"}
    assert "data/scores" not in {part.kind for job in shares for part in job.parts}
    assert len([job for job in shares if any("sample" in part.kind for part in job.parts)]) == len(
        cells
    )  # in one piece
    on_cpu = work_of(planned(tiny, 2048), store, lambda _: 1.0).jobs
    assert {job.kind for job in on_cpu} <= {"training", "cell", "floor"}
    assert {job.slots for job in on_cpu} == {1}


class Accelerator(str):
    """A device that computes as the CPU does, and is not it."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return other != "cpu" and str.__eq__(self, str(other))

    def __ne__(self, other: object) -> bool:
        return not self == other


def test_what_holds_no_gpu_uses_none_and_gives_the_numbers_of_one_piece(tiny: Path, tmp_path: Path) -> None:
    """Jobs beside the slots run on a device that is not here: whatever they asked of it would be an error."""
    metrics = "evaluate.metrics=[kid, fd, accuracy, denoising_loss, attention_entropy]"
    plan, store = planned(tiny, 2048, metrics, "evaluate.num_samples=24"), Store(tmp_path / "accelerated")
    resources = plan.experiment.resources
    held = resources.model_copy(update={"device": Accelerator("cpu")})
    beside = resources.model_copy(update={"device": "cuda"})
    experiment = plan.experiment.model_copy(update={"resources": held})
    accelerated = dataclasses.replace(plan, resolved=dataclasses.replace(plan.resolved, experiment=experiment))
    begun = accelerated.trials[0].cells[0].measure.generated  # type: ignore[union-attr]
    begun.make(RunContext(store, held))  # its images are there already, and nothing has looked at them
    work = work_of(accelerated, store, lambda _: 1.0)
    assert not any(part.key == begun.key for job in work.jobs for part in job.parts)
    order, slots = Order(work.jobs, slots=1), []
    while (job := order.next()) is not None:
        work.stage(job.key).make(RunContext(store, held if job.slots else beside))
        slots.append(job.slots)
        order.ended(job.key)
    assert {0, 1} == set(slots)
    assert not list(store.root.glob("stages/*/*.*"))  # no share is left
    alone = Store(tmp_path / "alone")
    for measure in plan.measures():
        found, expected = (
            json.loads((measure.make(RunContext(each, resources)) / "result.json").read_text())
            for each in (store, alone)
        )
        assert found["details"].keys() == expected["details"].keys()
        assert found["values"] == pytest.approx(expected["values"], nan_ok=True)
