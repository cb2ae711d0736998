"""`gpus_per_trial: auto`: what the runner's own order ends soonest with."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.plan import gpus
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.gpus import with_gpus
from rpe2d_bench.plan.pace import Pace
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner.several_gpus import processes
from rpe2d_bench.storage.store import Store


@pytest.fixture
def chosen(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """(overrides) -> the plan on so many GPUs, at the speeds that are assumed where nothing was measured."""
    monkeypatch.setattr(gpus, "pace_for", lambda *_: Pace("cuda"))

    def plan(given: int, *overrides: str) -> Plan:
        resources = f"resources={{device: cuda, gpus_per_trial: auto, trials_in_parallel: {given}}}"
        overrides = (resources, "train.steps=100000000", *overrides)
        return with_gpus(make_plan(load_experiment(tiny, overrides), overrides), Store(tmp_path / "runs"))

    return plan


def divided(plan: Plan) -> tuple[int, float]:
    resources = plan.experiment.resources
    return resources.trials_in_parallel, resources.gpus


def test_few_trainings_share_all_gpus_and_many_take_one_each(chosen) -> None:  # type: ignore[no-untyped-def]
    few, many = chosen(8), chosen(4, "seeds=[0, 1, 2, 3, 4, 5]")
    assert divided(few) == (2, 4)  # two models
    assert list(few.gpus) == [1, 2, 4, 8]
    assert min(few.gpus.values()) == few.gpus[4]
    assert divided(many) == (4, 1)  # 12 models in three rounds, without the loss of several GPUs


def test_batches_are_divided_evenly_and_machines_are_not_left(chosen) -> None:  # type: ignore[no-untyped-def]
    assert set(chosen(8, "train.batch_size=6").gpus) == {1, 2}
    assert set(chosen(16, "train.batch_size=16").gpus) == {1, 2, 4, 8}
    assert set(chosen(6, "train.batch_size=12").gpus) == {1, 2, 3, 6}


def test_no_key_and_no_run_depends_on_it(chosen, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    plan = chosen(8)
    plain = make_plan(load_experiment(tiny, ["train.steps=100000000"]))
    assert plan.run == plain.run
    assert [t.stage.key for t in plan.trials] == [t.stage.key for t in plain.trials]
    assert plan.gpus
    assert not plain.gpus


def test_what_plans_nothing_takes_one_gpu_each(tiny: Path) -> None:
    resources = load_experiment(tiny, ["resources.gpus_per_trial=auto"]).resources
    assert resources.gpus == processes(resources) == 1
