"""Runs of machines that share nothing but a store in a bucket: nothing is made twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.object_server import object_server
from helpers.planned import planned

from rpe2d_bench.runner import engine_ray, run
from rpe2d_bench.storage import exchange, records
from rpe2d_bench.storage.store import Store

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "without_ray.py")]
ADDRESS = "s3://bucket/runs"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with object_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        yield ADDRESS


def contents(store: Store, under: str = "stages") -> dict[str, tuple[int, float]]:
    assert store.mirror is not None
    return store.mirror.bucket.files(under)


def test_a_second_machine_repeats_nothing_and_knows_the_records(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, stores = planned(tiny), []
    for machine in ("a", "b"):
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / machine))
        stores.append(Store(f"file://{tmp_path}/elsewhere"))
    made = run(plan, stores[0], engine="local")
    before = contents(stores[0])
    assert {path.split("/")[1] for path in before} == {"train", "sample", "reference", "measure"}
    assert contents(stores[0], "progress") == contents(stores[0], "locks") == {}
    exchange.bring(stores[1])
    fresh = []
    again = run(plan, stores[1], engine="local", listeners=(fresh.append,))
    assert [record.identity for record in again] == [record.identity for record in made]
    assert fresh == []  # none is written twice
    assert contents(stores[1]) == before
    assert [len(list(contents(store, "records"))) for store in stores] == [1, 1]


def test_records_of_several_machines_are_merged_in_the_order_in_which_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = []
    for number, machine in enumerate("abc"):
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / machine))
        stores.append(Store(f"file://{tmp_path}/elsewhere"))
        line = f'{{"created": "2026-01-0{3 - number}", "machine": "{machine}"}}\n'
        (stores[-1].root / records.RECORDS_FILE).write_text(line)
        exchange.send(stores[-1])
    for _ in range(2):
        for store in stores:
            exchange.bring(store)
            exchange.send(store)
    for store in stores:
        text = (store.root / records.RECORDS_FILE).read_text()
        assert re.findall('"machine": "(.)"', text) == ["c", "b", "a"]
    assert sorted(size for size, _ in contents(stores[0], "records").values()) == [len(line)] * 3  # each its own


def test_a_line_that_two_machines_wrote_is_never_left_to_the_other_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = []
    for machine in "ab":
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / machine))
        stores.append(Store(f"file://{tmp_path}/elsewhere"))
        text = f'{{"configuration": "of both"}}\n{{"created": "2026-01-01", "machine": "{machine}"}}\n'
        (stores[-1].root / records.RECORDS_FILE).write_text(text)
        exchange.send(stores[-1])
    for step in (exchange.bring, exchange.send):  # at the same time
        for store in stores:
            step(store)
    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / "c"))
    third = Store(f"file://{tmp_path}/elsewhere")
    exchange.bring(third)
    text = (third.root / records.RECORDS_FILE).read_text()
    assert "of both" in text
    assert sorted(re.findall('"machine": "(.)"', text)) == ["a", "b"]


@pytest.mark.slow
def test_two_processes_that_share_only_a_bucket_make_each_stage_once(bucket: str, tiny: Path, tmp_path: Path) -> None:
    def started(machine: str, *arguments: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "RPE2D_BENCH_CACHE": str(tmp_path / machine)}
        command = [*COMMAND, *map(str, arguments), "--store", bucket]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    both = [started(machine, "work", tiny) for machine in "ab"]
    output = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    made = [set(re.findall(r"\(\w+ (\w{8})\) is there", text)) for text in output]
    os.environ["RPE2D_BENCH_CACHE"] = str(tmp_path / "c")
    try:
        store = Store(bucket)
    finally:
        del os.environ["RPE2D_BENCH_CACHE"]
    before = contents(store)
    assert {path.split("/")[2][:8] for path in before} == made[0] | made[1]
    assert all(made)  # both took part
    done = started("c", "run", tiny, "--engine", "local", "--no-mlflow", "--reports", tmp_path / "reports")
    printed = done.communicate(timeout=300)[0]
    assert done.returncode == 0, printed
    assert contents(store) == before
    assert {record.status for record in records.read(store.root)} == {"ok"}
    shown = started("d", "report", "--reports", tmp_path / "again")
    assert shown.communicate(timeout=300)[0]
    first, second = (tmp_path / name / "tiny" / "index.html" for name in ("reports", "again"))
    assert first.exists()
    assert len(second.read_bytes()) > 0.9 * len(first.read_bytes())  # strips of samples as well


@pytest.mark.slow
def test_two_nodes_that_share_only_a_bucket(
    bucket: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    for name, value in engine_ray.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / "driver"))
    common = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **common})
    try:
        for machine in ("a", "b"):
            cluster.add_node(num_cpus=1, env_vars={"RPE2D_BENCH_CACHE": str(tmp_path / machine)}, **common)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        store = Store(bucket)
        two_shares = ("train.num_pictures=2048", "resources.images_per_share=128")  # of each of two pools
        plan = planned(tiny, *two_shares)
        found = run(plan, store, engine="ray")
        assert {record.status for record in found} == {"ok"}
    finally:
        cluster.shutdown()
    nodes = [sorted(each.name for each in (tmp_path / name).glob("*/stages/train/*")) for name in ("a", "b")]
    assert all(nodes), nodes
    before = contents(store)
    assert len({path.split("/")[2] for path in before if path.startswith("stages/pool/")}) == 2 * 2
    assert run(plan, store, engine="local") == found
    assert contents(store) == before


def test_the_driver_sees_how_far_another_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rpe2d_bench.storage import keeper
    from rpe2d_bench.storage.progress import ProgressFiles

    monkeypatch.setattr(keeper, "TICK", 0.05)
    stores = []
    for machine in ("a", "b"):
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / machine))
        stores.append(Store(f"file://{tmp_path}/elsewhere"))
    driver, worker = ProgressFiles(stores[0], "run"), ProgressFiles(stores[1], "run")

    def work(folder: Path) -> None:
        worker("train", "k", 3, 10, {})
        for _ in range(400):
            if (progress := driver.read("k")) is not None:
                assert progress.now.done == 3
                (folder / "result.json").write_text("{}")
                return
            time.sleep(0.05)
        raise AssertionError("the driver never saw it")

    with exchange.followed(stores[0], "run"):
        stores[1].make("train", "k", work)
    assert contents(stores[0], "progress") == {}
