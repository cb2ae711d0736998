"""Pools of training images of machines that share a store elsewhere and nothing else: no row is made twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import counted_rows
from helpers.object_server import object_server

from rpe2d_bench.data.image_pool import Array
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner.work import Outcome, make_stages
from rpe2d_bench.stages.pool import FILE, PoolStage, pools_of
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage import usage
from rpe2d_bench.storage.store import Store

POOL = ("train.num_pictures=80", "train.steps=3", "resources.images_per_share=2")  # 5 shares of 16 rows
Machine = Callable[[str], Store]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The store as the machine of that name opens it."""

    def opened(name: str) -> Store:
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / name))
        return Store(f"file://{tmp_path}/elsewhere", wait=False)

    return opened


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each training image was rendered."""
    found = Counter[str]()
    counted_rows.counted(found.update, monkeypatch.setattr)
    return found


def planned(path: Path, *overrides: str) -> Plan:
    return make_plan(load_experiment(path, (*POOL, *overrides)))


def pools(plan: Plan) -> list[PoolStage]:
    return list({pool.key: pool for trial in plan.trials for pool in pools_of(trial.stage, 0)}.values())


def trained(plan: Plan, store: Store) -> Outcome:
    return make_stages(plan, RunContext(store, plan.experiment.resources), ("train",))


def weights(plan: Plan, store: Store) -> list[bytes]:
    folders = [store.fetch("train", trial.stage.key) for trial in plan.trials]
    return [(folder / "weights.safetensors").read_bytes() for folder in folders if folder is not None]


def result(folder: Path) -> None:
    (folder / "result.json").write_text("1")


def shares_there(store: Store) -> set[str]:
    assert store.mirror is not None
    return {path.split("/")[2] for path in store.mirror.bucket.files("stages/pool")}


def test_what_one_machine_has_under_way_is_still_missing_for_the_others(
    tiny: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tiny)
    resources, pool = plan.experiment.resources, pools(plan)[0]
    monkeypatch.setattr(Array, "done", lambda *_: 40)  # rows of an attempt in one piece that was interrupted
    assert [share.first for share in pool.missing(Store(tmp_path / "folder"), resources)] == [32, 48, 64]
    assert [share.first for share in pool.missing(machine("a"), resources)] == [0, 16, 32, 48, 64]


def test_a_pool_of_one_machine_is_put_together_by_another_without_making_a_row(
    tiny: Path, tmp_path: Path, machine: Machine, rows: Counter[str]
) -> None:
    plan, first, second, alone = planned(tiny), machine("a"), machine("b"), Store(tmp_path / "alone", wait=False)
    resources = plan.experiment.resources
    for pool in pools(plan):
        for share in pool.missing(first, resources):
            share.make(RunContext(first, resources))
        assert pool.is_there(machine("b"))
        assert pool.missing(machine("b"), resources) == ()
    assert rows == {f"{size}x{size} {index}": 1 for size in (16, 32) for index in range(80)}
    rows.clear()
    other = [*POOL[:2], "resources.images_per_share=3"]  # of other resources: what is there counts all the same
    plan_of_b = make_plan(load_experiment(tiny, other))
    outcome = trained(plan_of_b, second)
    assert (outcome.made, outcome.left) == (2, [])  # the trainings
    assert rows == {}
    assert trained(plan, alone).left == []
    assert len(weights(plan, alone)) == 2
    assert weights(plan, second) == weights(plan, alone)
    for pool in pools(plan):
        found = [np.load(store.root / "cache" / pool.key / "pictures.npy") for store in (second, alone)]
        assert np.array_equal(*found)
    assert not list(second.root.glob("stages/pool/*"))  # no copy of a share is left
    assert len(shares_there(second)) == 2 * 5


def test_an_upload_that_is_cut_off_and_a_damaged_share_are_made_again_alone(
    tiny: Path, machine: Machine, rows: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpe2d_bench.storage.bucket import Bucket

    plan, first = planned(tiny), machine("a")
    resources, pool = plan.experiment.resources, pools(planned(tiny))[0]
    shares, write = pool.missing(first, resources), Bucket.write

    def killed(self: Bucket, path: str, content: bytes) -> None:
        if path.endswith("manifest.json"):
            raise KeyboardInterrupt
        write(self, path, content)

    for share in (shares[0], *shares[2:]):
        share.make(RunContext(first, resources))
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            shares[1].make(RunContext(first, resources))
    second = machine("b")
    assert pool.missing(second, resources) == (shares[1],)
    assert first.mirror is not None
    (path,) = (path for path in first.mirror.bucket.files(f"stages/pool/{shares[3].key}") if FILE in path)
    first.mirror.bucket.write(path, b"damaged")
    rows.clear()
    output: list[str] = []
    pool.make(RunContext(second, resources, output.append))  # as its training does
    lost = [index for share in (shares[1], shares[3]) for index in range(share.first, share.stop)]
    assert rows == {f"16x16 {index}": 1 for index in lost}
    rows.clear()
    pool.make(RunContext(machine("c"), resources))  # whole there, and for all
    assert rows == {}


def test_what_this_machine_has_in_its_cache_is_given_to_the_others(
    tiny: Path, machine: Machine, rows: Counter[str]
) -> None:
    plan, store = planned(tiny), machine("a")
    assert trained(plan, store).left == []
    for item in list(usage.items(store)):
        if item.elsewhere and item.kind == "pool":
            assert usage.free(item)
    rows.clear()
    again = planned(tiny, "train.steps=4")
    assert trained(again, machine("a")).made == 2 * 5 + 2
    assert rows == {}
    assert len(shares_there(store)) == 2 * 5


def test_a_small_pool_is_made_by_each_machine_and_latents_by_one(
    tiny: Path, tmp_path: Path, machine: Machine, rows: Counter[str]
) -> None:
    from helpers.toy_autoencoders import EXPERIMENT, images, taef2

    store = machine("a")
    small = make_plan(load_experiment(tiny, POOL[:2]))
    assert trained(small, store).made == 2
    assert shares_there(store) == set()
    images(tmp_path / "images")
    autoencoder = f"kind: taef2, path: {taef2(tmp_path / 'taef2.safetensors')}"
    (tmp_path / "toy.yaml").write_text(EXPERIMENT.format(images=tmp_path / "images", autoencoder=autoencoder))
    latents = make_plan(load_experiment(tmp_path / "toy.yaml", ()))
    assert trained(latents, machine("a")).made == 2 + 2  # latents and windows, two trainings
    assert len(shares_there(store)) == 2
    assert trained(make_plan(load_experiment(tmp_path / "toy.yaml", ("train.steps=5",))), machine("b")).made == 2
    alone = Store(tmp_path / "alone", wait=False)
    assert trained(latents, alone).made == 2
    assert weights(latents, alone) == weights(latents, store)


def test_shares_there_are_listed_and_freed_without_harm_to_what_is_whole(tiny: Path, machine: Machine) -> None:
    plan, store = planned(tiny), machine("a")
    resources, pool = plan.experiment.resources, pools(plan)[0]
    (share, *_) = pool.missing(store, resources)
    share.make(RunContext(store, resources))
    for key in ("k", "k.0000000-0000016"):
        store.make("sample", key, result)
    found = {(item.kind, item.state, item.elsewhere is not None) for item in usage.items(store)}
    assert {("pool", "finished", True), ("copy", "finished", False), ("sample", "finished", True)} <= found
    later = max(item.changed for item in usage.items(store)) + 1
    gone = dict(usage.unneeded(list(usage.items(store)), {("sample", "k")}, later))
    assert {reason for item, reason in gone.items() if item.elsewhere} == {"a pool, which a training makes again"}
    for item in usage.items(store):
        if item.elsewhere and "." in item.path.name:
            assert usage.free(item)
    assert machine("b").has("sample", "k")
    assert not machine("b").has("sample", "k.0000000-0000016")
    assert shares_there(store) == set()


def test_pools_there_stay_while_a_training_elsewhere_has_but_a_lease(tiny: Path, machine: Machine) -> None:
    plan, first = planned(tiny), machine("a")
    resources = plan.experiment.resources
    pools(plan)[0].missing(first, resources)[0].make(RunContext(first, resources))
    freed: list[list[str]] = []

    def meanwhile(folder: Path) -> None:
        found = list(usage.items(machine("b")))
        later = max(item.changed for item in found) + 1
        freed.append([item.kind for item, _ in usage.unneeded(found, set(), later)])
        result(folder)

    first.make("train", "k", meanwhile)
    assert freed == [[]]


@pytest.mark.slow
def test_two_processes_that_share_only_a_bucket_render_each_row_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with object_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        sets = [word for override in POOL for word in ("--set", override)]
        command = [sys.executable, counted_rows.__file__, "work", str(tiny), *sets]
        (tmp_path / "rows").mkdir()
        environment = {**os.environ, "ROWS": str(tmp_path / "rows"), "PROCESSES": "2"}
        both = [
            subprocess.Popen(
                [*command, "--stages", "train", "--store", "s3://bucket/runs"],
                env={**environment, "RPE2D_BENCH_CACHE": str(tmp_path / name)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in "ab"
        ]
        output = [process.communicate(timeout=300)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], output
        first, second = counted_rows.noted(tmp_path / "rows")
        assert first + second == {f"{size}x{size} {index}": 1 for size in (16, 32) for index in range(80)}
        plan, alone = planned(tiny), Store(tmp_path / "alone", wait=False)
        assert trained(plan, alone).left == []
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / "c"))
        there = Store("s3://bucket/runs")
        assert weights(plan, there) == weights(plan, alone)
        assert len(shares_there(there)) == 2 * 5
