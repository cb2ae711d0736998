"""A cluster on loopback that loses nodes and its head, and gains a node: nothing finished is made again.

Workers stop at the gates that the test closes, so that each death falls where it is meant to at any speed. Longer than
other files, because one cluster serves every death.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from helpers.planned import planned

from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.runner import engine_ray, run
from rpe2d_bench.runner.head import GRACE, Head, watched
from rpe2d_bench.stages import SampleStage
from rpe2d_bench.stages.pool import pools_of
from rpe2d_bench.storage import records
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

SMALL = (
    "train.steps=100",
    "resolutions=[{train: 16, test: [16, 24]}]",
    "evaluate.metrics=[kid]",
    "resources={trials_in_parallel: 2, checkpoint_every: 1.0e-9, sample_batch: 4}",
)
SHARES = (
    "train.steps=4",
    "train.num_pictures=3072",  # three shares of 1,024 rows
    "resolutions=[{train: 16, test: [16]}]",
    "evaluate.num_samples=192",  # three shares of 64 images, of two batches
    "evaluate.metrics=[kid]",
    "resources={trials_in_parallel: 2, checkpoint_every: 1.0e-9, sample_batch: 32, images_per_share: 64}",
)
LIMIT = 300.0  # seconds for anything awaited
STORE: dict[str, Any] = {"object_store_memory": 100 * 2**20}
GATES = Path(__file__).parents[1] / "helpers" / "gates.py"
Found = TypeVar("Found")


class Bench:
    """A cluster of this machine alone, a store, and a run of the tiny experiment as a user types it."""

    def __init__(self, tiny: Path, folder: Path, overrides: tuple[str, ...]) -> None:
        self.tiny, self.folder, self.store = tiny, folder, Store(folder / "runs")
        self._overrides = overrides
        self.plan: Plan = planned(tiny, *overrides)
        self.gates = folder / "gates"
        self.gates.mkdir()
        self._started: list[Any] = []
        self._driver: subprocess.Popen[str] | None = None

    def cluster(self) -> Any:
        """A head without CPUs and two nodes; what the gates hold, its workers stop at."""
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **STORE})
        self._started.append(cluster)
        for _ in range(2):
            cluster.add_node(num_cpus=1, **STORE)
        return cluster

    def begin(self, cluster: Any, *more: str) -> subprocess.Popen[str]:
        """more: overrides."""
        sets = [word for override in (*self._overrides, *more) for word in ("--set", override)]
        command = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()", "run", str(self.tiny), *sets]
        self._driver = subprocess.Popen(
            [*command, "--no-mlflow", "--store", str(self.store.root), "--reports", str(self.folder / "reports")],
            env={**os.environ, "RAY_ADDRESS": cluster.address},
            stdout=(self.folder / "printed").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self._driver

    def close(self, key: str) -> None:
        """Workers stop in the middle of this stage."""
        (self.gates / key).touch()

    def open(self, key: str) -> None:
        (self.gates / key).unlink()

    def held(self, key: str, times: int = 1) -> int:
        """Process that stopped in this stage as the n-th, once there is one."""
        place = self.gates / f"{key}.held"

        def pids() -> list[str]:
            return place.read_text().splitlines(keepends=True) if place.exists() else []

        return int(self.until(lambda: [pid for pid in pids() if pid.endswith("\n")][times - 1 : times])[0])

    def until(self, look: Callable[[], Found]) -> Found:
        """What `look` finds as soon as it is true."""
        assert self._driver is not None
        deadline = time.monotonic() + LIMIT
        while not (found := look()):
            assert self._driver.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)
        return found

    def noted(self, file: str) -> Counter[str]:
        """How often each stage, or share of one, wrote this file."""
        lines = (self.gates / "notes").read_text().splitlines()
        return Counter(line.partition(" ")[0] for line in lines if line.endswith(f" {file}"))

    def finished(self) -> dict[str, int]:
        """When each stage that is whole was written."""
        return {
            f"{path.parts[-3]}/{path.parts[-2]}": path.stat().st_mtime_ns
            for path in self.store.root.glob("stages/*/*/result.json")
            if "." not in path.parent.name
        }

    @property
    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    def stop(self) -> None:
        if self._driver is not None and self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()
        for cluster in self._started:
            for node in cluster.list_all_nodes():
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    pytest.importorskip("ray")
    short = Path(tempfile.mkdtemp(prefix="ray"))  # sockets have short paths
    for name, value in {**engine_ray.ENVIRONMENT, "RAY_TMPDIR": str(short), "GATES": str(tmp_path / "gates")}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hooks").mkdir()
    shutil.copy(GATES, tmp_path / "hooks" / "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'hooks'}:{os.environ.get('PYTHONPATH', '')}")
    made = Bench(tiny, tmp_path, getattr(request, "param", SMALL))
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(short, ignore_errors=True)


def node_of(cluster: Any, pid: int) -> Any:
    """The node that a worker belongs to."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    return raylets[parent]


def numbers(found: list[Record]) -> dict[Any, Any]:
    assert {record.status for record in found} == {"ok"}
    return {
        record.identity: {name: value for name, value in record.metrics.items() if name != "images_per_second"}
        for record in found
        if record.stage != "train"
    }


def weights(plan: Plan, store: Store) -> dict[str, bytes]:
    return {t.label: (store.folder("train", t.stage.key) / "weights.safetensors").read_bytes() for t in plan.trials}


@pytest.mark.slow
def test_nodes_die_in_a_training_and_in_a_sampling_and_one_that_comes_takes_over(bench: Bench) -> None:
    rope, rpe2d = bench.plan.trials
    sample = rpe2d.cells[-1].measure.generated  # type: ignore[union-attr]
    train = rope.stage
    bench.close(train.key)
    bench.close(sample.key)
    cluster = bench.cluster()
    driver = bench.begin(cluster)
    training, sampling = bench.held(train.key), bench.held(sample.key)
    before = bench.finished()
    assert f"train/{rpe2d.stage.key}" in before
    first, second = (node_of(cluster, pid) for pid in (training, sampling))
    assert first is not second
    cluster.remove_node(first, allow_graceful=False)
    third = cluster.add_node(num_cpus=1, **STORE)
    assert node_of(cluster, bench.held(train.key, times=2)) is third  # no other node has a free place
    cluster.remove_node(second, allow_graceful=False)
    bench.open(train.key)
    bench.open(sample.key)
    assert driver.wait(LIMIT) == 0, bench.printed
    after = bench.finished()
    assert {key: after[key] for key in before} == before
    curve = (bench.store.folder("train", train.key) / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curve] == sorted({json.loads(line)["step"] for line in curve})
    alone = Store(bench.folder / "alone")
    assert numbers(records.read(bench.store.root)) == numbers(run(bench.plan, alone, engine="local"))
    assert weights(bench.plan, bench.store) == weights(bench.plan, alone)


@pytest.mark.slow
@pytest.mark.parametrize("bench", [SHARES], indirect=True)
def test_nodes_die_in_a_share_of_a_pool_and_in_one_of_samples_and_only_these_are_made_again(bench: Bench) -> None:
    resources = bench.plan.experiment.resources
    rope, _ = bench.plan.trials
    (pool,) = pools_of(rope.stage, 0)
    sample = rope.cells[0].measure.generated  # type: ignore[union-attr]
    assert isinstance(sample, SampleStage)
    lost, cut = pool.shares(resources)[1], sample.shares(resources)[1]
    bench.close(lost.key)
    bench.close(cut.key)
    cluster = bench.cluster()
    driver = bench.begin(cluster)
    cluster.remove_node(node_of(cluster, bench.held(lost.key)), allow_graceful=False)
    cluster.add_node(num_cpus=1, **STORE)
    bench.held(lost.key, times=2)
    bench.open(lost.key)
    cluster.remove_node(node_of(cluster, bench.held(cut.key)), allow_graceful=False)
    cluster.add_node(num_cpus=1, **STORE)
    bench.open(cut.key)
    assert driver.wait(LIMIT) == 0, bench.printed
    shares = {share.key for stage in (pool, sample) for share in stage.shares(resources)}
    whole = bench.noted("manifest.json")
    assert len(shares & whole.keys()) == 3 + 3
    assert {key for key, times in whole.items() if times > 1} == {lost.key}
    assert whole[lost.key] == 2
    batches = bench.noted("under_way.json")
    assert {share.key: batches[share.key] for share in sample.shares(resources)} == {
        share.key: 2 for share in sample.shares(resources)
    }  # none was drawn again, that of the node that died neither
    alone = Store(bench.folder / "alone")
    assert numbers(records.read(bench.store.root)) == numbers(run(bench.plan, alone, engine="local"))
    assert weights(bench.plan, bench.store) == weights(bench.plan, alone)


@pytest.mark.slow
def test_the_death_of_the_head_says_what_to_type_next_and_that_repeats_nothing(bench: Bench) -> None:
    rope, rpe2d = bench.plan.trials
    bench.close(rope.stage.key)
    cluster = bench.cluster()
    driver = bench.begin(cluster)
    bench.held(rope.stage.key)
    wanted = {f"measure/{cell.measure.key}" for cell in rpe2d.cells}
    bench.until(lambda: wanted <= set(bench.finished()))
    for each in cluster.head_node.all_processes.values():
        for process in each:
            os.kill(process.process.pid, signal.SIGKILL)
    assert driver.wait(LIMIT) == 2, bench.printed
    *_, sentence = bench.printed.splitlines()
    assert sentence.startswith(f"error: the head of the Ray cluster at RAY_ADDRESS={cluster.address} no longer answers")
    assert "run the same command again" in sentence
    assert bench.printed.count("error") == 1
    assert "Traceback" not in bench.printed
    for node in cluster.list_all_nodes():
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    before, recorded = bench.finished(), len(records.read(bench.store.root))
    bench.open(rope.stage.key)
    assert bench.begin(bench.cluster()).wait(LIMIT) == 0, bench.printed
    after = bench.finished()
    assert {key: after[key] for key in before} == before
    assert f"train/{rope.stage.key}" in after.keys() - before.keys()
    found = records.read(bench.store.root)
    assert recorded
    assert len(found) == len({record.identity for record in found})
    alone = Store(bench.folder / "alone")
    assert numbers(found) == numbers(run(bench.plan, alone, engine="local"))


@pytest.mark.slow
def test_the_death_of_the_head_ends_a_search_alike(bench: Bench) -> None:
    search = "search={trials: 2, num_samples: 12, resolutions: [16], models: {'*': {train.lr: [1.0e-3, 2.0e-3]}}}"
    rope, rpe2d = bench.plan.trials
    bench.close(rope.stage.key)  # its trial of the values as they are written
    cluster = bench.cluster()
    driver = bench.begin(cluster, search)
    bench.held(rope.stage.key)
    bench.until(lambda: f"train/{rpe2d.stage.key}" in bench.finished())
    for each in cluster.head_node.all_processes.values():
        for process in each:
            os.kill(process.process.pid, signal.SIGKILL)
    assert driver.wait(LIMIT) == 2, bench.printed
    *_, sentence = bench.printed.splitlines()
    assert sentence.startswith(f"error: the head of the Ray cluster at RAY_ADDRESS={cluster.address} no longer answers")
    assert bench.printed.count("error") == 1
    assert "Traceback" not in bench.printed
    for node in cluster.list_all_nodes():
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    before = bench.finished()
    bench.open(rope.stage.key)
    assert bench.begin(bench.cluster(), search).wait(LIMIT) == 0, bench.printed
    after = bench.finished()
    assert {key: after[key] for key in before} == before
    assert {record.status for record in records.read(bench.store.root)} == {"ok"}
    table = records.read(bench.store.root)[0].config.search
    assert table is not None
    assert [len(entry.trials) for entry in table.entries if entry.space] == [2, 2]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_head_that_comes_back_in_time_is_no_loss(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("rpe2d_bench.runner.head.time.monotonic", lambda: now[0])
    host, port = listening.getsockname()
    head = Head(f"{host}:{port}")
    head.check()
    listening.close()
    head.check()  # silent from here
    now[0] += GRACE - 1
    head.check()
    with socket.create_server((host, port)):
        head.check()
    now[0] += 2
    head.check()  # silent again
    now[0] += GRACE + 1
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match="Ray on this machine no longer answers; run the same command again"):
        head.check()
    assert GRACE < 60  # after which Ray ends the process itself


def test_a_loop_of_rays_own_is_interrupted_where_the_head_is_lost(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpe2d_bench.runner.head.GRACE", 0.2)
    monkeypatch.setattr("rpe2d_bench.runner.head.EVERY", 0.05)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    host, port = listening.getsockname()
    with watched(f"{host}:{port}"):
        time.sleep(0.3)
    with pytest.raises(ValueError, match="of the loop"), watched(f"{host}:{port}"):
        raise ValueError("of the loop")
    listening.close()
    began = time.monotonic()
    with pytest.raises(UserError, match="Ray on this machine no longer answers"), watched(f"{host}:{port}"):
        time.sleep(LIMIT)
    assert time.monotonic() - began < LIMIT / 2
