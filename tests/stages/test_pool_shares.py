"""Pools of training images that are made in shares: the array of one process, and the trainings of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rpe2d_bench.data import image_pool
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.order import Order
from rpe2d_bench.plan.work import work_of
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.runner.work import in_order, make_stages
from rpe2d_bench.stages.pool import PoolStage, pools_of
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.share import Share
from rpe2d_bench.storage.store import Store

POOL = ("train.num_pictures=80", "train.steps=3", "resources.images_per_share=2")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pool, "_CHUNK", 16)


def planned(path: Path, *overrides: str) -> Plan:
    return make_plan(load_experiment(path, (*POOL, *overrides)))


def arrays(root: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in root.glob("cache/*/pictures.npy")}


def test_a_pool_in_shares_is_the_pool_of_one_process(tiny: Path, tmp_path: Path) -> None:
    plan, store, alone = planned(tiny), Store(tmp_path / "shares"), Store(tmp_path / "alone")
    resources = plan.experiment.resources
    stages = [trial.stage for trial in plan.trials]
    pools = {pool.key: pool for stage in stages for pool in pools_of(stage, 0)}
    assert [len(pool.shares(resources)) for pool in pools.values()] == [5, 5]  # complete images, and those of crops
    work = work_of(plan, store, lambda _: 1.0)
    jobs = {job.key: job for job in work.jobs}
    for stage in stages:  # a training waits for its pools, and these for their shares
        assert set(jobs[stage.key].after) == {pool.key for pool in pools_of(stage, 0)}
    order = Order(work.jobs, slots=3)
    made = []
    while jobs[stages[0].key] not in made:
        while (job := order.next()) is not None:
            pass
        job = next(iter(order.running.values()))
        work.stage(job.key).make(RunContext(store, resources))
        made.append(job)
        order.ended(job.key)
    for pool in pools.values():
        pool.make(RunContext(store, resources))
        assert pool.is_there(store)
    for stage in stages:
        whole = stage.make(RunContext(alone, resources))
        assert (stage.make(RunContext(store, resources)) / "weights.safetensors").read_bytes() == (
            whole / "weights.safetensors"
        ).read_bytes()
    assert arrays(store.root) == arrays(alone.root)
    assert not list(store.root.glob("stages/pool/*"))  # no share is left
    assert not [job for job in work_of(plan, store, lambda _: 1.0).jobs if job.kind == "pool"]


def test_what_needs_a_model_beside_its_training_does_not_hurry_it(tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, "evaluate.metrics=[denoising_error]", "report.main_metric=denoising_error")
    _, inputs = in_order(plan, Store(tmp_path))
    for stage in (trial.stage for trial in plan.trials):
        assert {pool.key for pool in pools_of(stage, 0)} <= {each.key for each in inputs[stage.key]}


def test_processes_without_ray_make_the_pool_before_they_train(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny), Store(tmp_path, wait=False)
    output: list[str] = []
    outcome = make_stages(plan, RunContext(store, plan.experiment.resources, output.append), ("train",))
    assert (outcome.made, outcome.left) == (2 * 5 + 2 + 2, [])  # shares of two pools, the pools, the trainings
    began = [
        next(i for i, line in enumerate(output) if line.startswith(text))
        for text in ("training images 16px (", "train rope ")
    ]
    assert began == sorted(began)
    assert not list(store.root.glob("stages/pool/*"))


def test_a_damaged_share_is_made_again_and_rows_of_an_attempt_in_one_piece_are_kept(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny), Store(tmp_path / "runs")
    resources = plan.experiment.resources
    (pool,) = pools_of(plan.trials[0].stage, 0)

    def stop(done: int, total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image_pool.opened(pool.array, pool._maker(RunContext(store, resources)), store.root / "cache", stop)
    shares = pool.missing(store, resources)
    assert [share.first for share in shares] == [32, 48, 64]
    for share in shares:
        share.make(RunContext(store, resources))
    rows = store.folder("pool", shares[1].key) / "rows.npy"
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    output: list[str] = []
    pool.make(RunContext(store, resources, output.append))
    assert len(output) == 1
    assert "does not match its checksum" in output[0]
    dataset = plan.trials[0].stage.data.build()
    found = np.load(store.root / "cache" / pool.key / "pictures.npy")
    assert (found == dataset.images("train", np.arange(80), (16, 16))).all()


def test_a_failed_share_fails_its_trainings_and_their_cells_at_once_and_says_why(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tried = PoolStage.make_share, list[str]()

    def fails(self: PoolStage, share: Share, partial: Path, context: RunContext) -> None:
        tried.append(share.key)
        if share.first == 16 and self.crops:
            raise UserError("no")
        whole(self, share, partial, context)

    monkeypatch.setattr(PoolStage, "make_share", fails)
    found = run(planned(tiny, "evaluate.metrics=[kid]"), Store(tmp_path / "runs"), engine="local")
    assert len(tried) == len(set(tried))
    failed = {(record.stage, record.model): record.error for record in found if record.status == "failed"}
    why = "training images 16px for crops, 16 to 31: no"
    assert failed == {("train", "rpe2d"): why, ("measure", "rpe2d"): f"rpe2d 16px seed 0: {why}"}
    assert {record.model for record in found if record.status == "ok" and record.stage == "measure"} == {"rope"}


@pytest.mark.slow
def test_a_run_with_pools_in_shares_has_the_records_of_one_without(tiny: Path, tmp_path: Path) -> None:
    found = []
    for size in (2, 2048):
        plan = planned(tiny, f"resources.images_per_share={size}")
        records = run(plan, Store(tmp_path / str(size)), engine="local")
        assert {record.status for record in records} == {"ok"}
        found.append(sorted((r.key, r.metrics.get("kid_glyphnet"), r.metrics.get("validation_loss")) for r in records))
    assert repr(found[0]) == repr(found[1])
