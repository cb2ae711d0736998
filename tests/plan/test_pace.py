"""What a plan says about time: sums of measured seconds, the store's own stages first, slots that share the work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers.planned import planned

from rpe2d_bench.data.absent import ABSENT
from rpe2d_bench.plan import calibration, speed
from rpe2d_bench.plan.calibration import between, pace_of
from rpe2d_bench.plan.cost import END, END_OF_CELL, START, estimate, jobs_of, missing_stages
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.order import Job, Part
from rpe2d_bench.plan.pace import Pace, pass_name, render_name, seconds_of, step_name
from rpe2d_bench.plan.wall import wall
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages import SampleStage, TrainStage
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.store import Store


@pytest.fixture
def plan(tiny: Path) -> Plan:
    return planned(tiny, "train.steps=1000")


def trainings(plan: Plan) -> list[TrainStage]:
    return [trial.stage for trial in plan.trials]


def test_seconds_are_steps_and_evaluations_times_the_pace(plan: Plan) -> None:
    stage = trainings(plan)[0]
    step, each = {step_name(stage, stage.resolution): 0.5}, {pass_name(stage, 16, "float32"): 0.01}
    slow = seconds_of(stage, Pace(seconds=step | each))
    fast = seconds_of(stage, Pace(seconds={name: value / 2 for name, value in step.items()} | each))
    assert slow - fast == pytest.approx(1000 * 0.25)
    assert seconds_of(stage, Pace(seconds=step, devices=4)) < slow / 3
    sample = plan.trials[0].cells[0].measure.generated
    assert isinstance(sample, SampleStage)
    more = dataclasses.replace(sample, count=112)
    pace = Pace(seconds=each)
    assert seconds_of(more, pace) - seconds_of(sample, pace) == pytest.approx(100 * 2 * 2 * 0.01)  # steps, guidance


def test_a_compiled_sampling_has_a_pace_of_its_own(plan: Plan) -> None:
    sample = plan.trials[0].cells[0].measure.generated
    assert isinstance(sample, SampleStage)
    compiled = dataclasses.replace(sample, sampler=sample.sampler.model_copy(update={"compile": True}))
    assert compiled.key != sample.key
    pace = Pace(seconds={pass_name(sample.train, 16, "float32"): 0.5})
    assert seconds_of(compiled, pace) < seconds_of(sample, pace) / 2
    assert seconds_of(compiled, Pace(seconds={pass_name(sample.train, 16, "float32 compiled"): 0.5})) == seconds_of(
        sample, pace
    )


def test_a_measurement_counts_its_own_work_only(plan: Plan) -> None:
    measure = plan.trials[0].cells[0].measure
    slow = Pace(
        seconds={
            pass_name(plan.trials[0].stage, 16, "float32"): 100.0,
            render_name(measure.reference, Resolution(16, 16)): 9.0,
        }
    )
    assert seconds_of(measure, slow) == seconds_of(measure, Pace())
    assert seconds_of(measure.generated, slow) > 1000
    assert seconds_of(measure.reference, slow) > 12 * 9


def finish(store: Store, stage: TrainStage, seconds: float, name: str) -> None:
    result = {"seconds": {"train": seconds}, "machine": name}
    store.make("train", stage.key, lambda partial: write_json(partial / "result.json", result))


def test_what_the_store_finished_here_comes_before_a_measurement(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "step_seconds", lambda *a: 7.0)
    first, second = trainings(plan)
    resources, store = plan.experiment.resources, Store(tmp_path / "runs")
    assert seconds_of(second, pace_of(trainings(plan), resources, store)) > 7000
    finish(store, first, 10.0, "of another machine")
    assert seconds_of(second, pace_of(trainings(plan), resources, store)) > 7000
    store = Store(tmp_path / "other")
    finish(store, first, 10.0, machine(1))
    found = seconds_of(second, pace_of(trainings(plan), resources, store))
    assert 10 <= found < 20  # 1,000 steps as fast as those, and the validation
    assert estimate(plan, store).seconds < 120


def test_a_pace_is_measured_once(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output: list[str] = []
    stages = missing_stages(plan, Store(tmp_path / "runs"))
    first = pace_of(stages, plan.experiment.resources, Store(tmp_path / "runs"), output.append)
    assert len(output) == 1
    for name in ("step_seconds", "pass_seconds", "seconds_of_call", "compare_blocks"):
        monkeypatch.setattr(speed, name, None)  # a call would fail
    again = pace_of(stages, plan.experiment.resources, Store(tmp_path / "runs"), output.append)
    assert again == first
    assert len(output) == 1
    assert all(value > 0 for value in first.seconds.values())


def test_images_that_are_not_here_are_no_obstacle(plan: Plan, tmp_path: Path) -> None:
    absent = dataclasses.replace(trainings(plan)[0], revision=ABSENT)
    found = pace_of([absent], plan.experiment.resources, Store(tmp_path))
    assert render_name(absent, Resolution(16, 16)) not in found.seconds
    assert seconds_of(absent, found) > 0


def training(key: str, seconds: float, after: str | None = None) -> Job:
    return Job(key, key, "training", 0, (after,) if after else (), (Part(key, "compute/train", seconds),))


def cell(key: str, after: str | None, *parts: tuple[str, float]) -> Job:
    return Job(
        key,
        key,
        "cell",
        0,
        (after,) if after else (),
        tuple(Part(name, "compute/sample", seconds) for name, seconds in parts),
    )


@pytest.mark.parametrize(
    ("jobs", "slots", "seconds", "work"),
    [
        ([], 2, 0.0, 0.0),
        ([training("a", 3.0), training("b", 1.0), training("c", 2.0)], 1, 6.0, 6.0),
        ([training("a", 3.0), training("b", 1.0), training("c", 2.0)], 2, 3.0, 6.0),
        ([training("a", 10.0), cell("x", "a", ("x", 1.0)), cell("y", "a", ("y", 1.0))], 2, 11.0, 12.0),
        ([training(name, 10.0) for name in "abc"], 2, 20.0, 30.0),  # a third training waits: not 15
        ([training("a", 1.0), training("b", 1.0), training("c", 5.0), cell("x", "a", ("x", 1.0))], 2, 6.0, 8.0),
        ([training("a", 1.0, "b"), training("b", 1.0)], 4, 2.0, 2.0),
        # what two jobs share is made once, and the second holds its slot until it is there
        ([cell("x", None, ("both", 5.0), ("x", 1.0)), cell("y", None, ("both", 5.0), ("y", 1.0))], 2, 6.0, 7.0),
    ],
)
def test_slots_share_the_work(jobs: list[Job], slots: int, seconds: float, work: float) -> None:
    found = wall(jobs, slots)
    assert (found.seconds, found.work) == (seconds, work)
    assert found.busy == (work / (slots * seconds) if seconds else 1.0)


def test_jobs_hold_every_stage_once(plan: Plan, tmp_path: Path) -> None:
    store, pace = Store(tmp_path), Pace()
    jobs = jobs_of(plan, store, pace)
    stages = missing_stages(plan, store)
    rendering = wall(jobs, 1).work - sum(seconds_of(stage, pace) for stage in stages)
    assert rendering == pytest.approx(64 * 1e-3 * 2)  # once for both trainings, and what crops are cut from
    cost = estimate(plan, store, pace)
    context = START + END + END_OF_CELL * sum(len(trial.cells) for trial in plan.trials)
    assert cost.seconds == pytest.approx(context + wall(jobs, 2).seconds)
    slow = dataclasses.replace(pace, python=3.0)
    assert estimate(plan, store, slow).seconds == pytest.approx(3 * context + wall(jobs, 2).seconds)


def test_sizes_between_those_that_were_measured_follow_a_power() -> None:
    measured = {16: 1.0, 64: 4.0, 256: 64.0}
    assert between(measured, 64) == 4.0
    assert between(measured, 32) == pytest.approx(2.0)
    assert between(measured, 128) == pytest.approx(16.0)
    assert between({64: 4.0}, 16) == 4.0
    assert calibration.SIZES >= 2
