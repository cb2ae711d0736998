"""A cluster that could not do the work is refused before anything starts: one sentence each."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.runner import engine_ray, preflight
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.files import locked
from rpe2d_bench.storage.store import Store

GOOD = preflight.Look(True, True, True, "code", "0123456789", {"Python": "3.11.1", "torch": "2.9"})


def test_a_node_that_is_as_the_driver_is_fit_and_others_are_named() -> None:
    def sentence(**changed: object) -> str:
        found = preflight.complaint("n1", dataclasses.replace(GOOD, **changed), GOOD, Store("/shared"))  # type: ignore[arg-type]
        return str(found)

    assert sentence() == "None"
    assert "node n1 does not see the store /shared" in sentence(sees=False)
    assert "can't write" in sentence(writes=False)
    assert "flock" in sentence(locks=False)
    assert "other code (commit abcdef01, here 01234567)" in sentence(code="other", commit="abcdef0123")
    assert "node n1 has torch 2.8, here it is 2.9" in sentence(versions={"Python": "3.11.1", "torch": "2.8"})
    assert "node n1 has torch none" in sentence(versions={"Python": "3.11.1"})


@pytest.mark.parametrize(
    ("asked", "nodes", "expected"),
    [
        ({}, [{"CPU": 4}], None),
        ({"cpus_per_trial": 8}, [{"CPU": 4}, {"CPU": 6}], "no node of the cluster has 8 CPUs, .*largest has 6 CPUs"),
        ({"device": "cuda", "gpus_per_trial": 1}, [{"CPU": 4}], "1 CPUs and 1 GPUs"),
        ({"device": "cuda", "gpus_per_trial": 0.25}, [{"CPU": 4, "GPU": 1}], None),
        ({"device": "cuda", "gpus_per_trial": 4}, [{"CPU": 4, "GPU": 2}] * 2, None),
        ({"device": "cuda", "gpus_per_trial": 5}, [{"CPU": 4, "GPU": 2}] * 2, "room for 4 processes .* ask for 5"),
        ({"device": "cuda", "gpus_per_trial": 4}, [{"CPU": 1, "GPU": 4}], "room for 1 processes"),
    ],
)  # fmt: skip
def test_what_fits_no_node_is_refused(asked: dict[str, object], nodes: list[dict[str, float]], expected: str) -> None:
    found = preflight.misfit(Resources.model_validate(asked), nodes)
    assert found is None if expected is None else re.search(expected, str(found))


def test_a_probe_is_seen_written_beside_and_its_lock_seen(tmp_path: Path) -> None:
    with locked(tmp_path / "locks" / "probe"):
        program = "from rpe2d_bench.runner import preflight as p; from rpe2d_bench.storage.store import Store; "
        program += f"print(p.look(Store({str(tmp_path)!r}), 'probe'))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "sees=True, writes=True, locks=True" in done.stdout
        assert preflight._code() in done.stdout
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["probe"]
    assert not preflight.look(Store(tmp_path / "elsewhere"), "probe").sees


def test_addresses_of_the_client_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(UserError, match=r"RAY_ADDRESS=ray://head:10001: .*ray job submit"):
        engine_ray.start(RunContext(Store(tmp_path)))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A head without CPUs and two workers on this machine."""
    for name, value in engine_ray.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    common = {"object_store_memory": 100 * 2**20}
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **common})
    for _ in range(2):
        started.add_node(num_cpus=1, **common)
    monkeypatch.setenv("RAY_ADDRESS", started.address)
    try:
        yield started
    finally:
        started.shutdown()


@pytest.mark.slow
def test_workers_on_loopback_are_asked(cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    engine_ray.start(RunContext(Store(tmp_path), Resources(cpus_per_trial=1)))
    try:
        assert list((tmp_path / "locks").iterdir()) == []
    finally:
        ray.shutdown()
    with pytest.raises(UserError, match="no node of the cluster has 2 CPUs"):
        engine_ray.start(RunContext(Store(tmp_path), Resources(cpus_per_trial=2)))
    assert not ray.is_initialized()
    monkeypatch.setattr(preflight, "_code", lambda: "another")  # of the driver; workers import the file
    with pytest.raises(UserError, match=r"node .* runs other code \(commit"):
        engine_ray.start(RunContext(Store(tmp_path), Resources(cpus_per_trial=1)))


@pytest.mark.slow
def test_a_node_that_does_not_share_the_store_is_named(cluster: object, tmp_path: Path) -> None:
    """Its worker is started where another folder lies in the place of the store."""
    address = cluster.address  # type: ignore[attr-defined]
    hide = f"mount -t tmpfs none {tmp_path}"
    if subprocess.run(["unshare", "-m", "sh", "-c", hide], capture_output=True).returncode:
        pytest.skip("a folder can't be hidden from one process here")
    ray_ = f"{sys.executable} -m ray.scripts.scripts start --address {address} --num-cpus 1"
    options = "--object-store-memory 100000000 --block"
    node = subprocess.Popen(["unshare", "-m", "sh", "-c", f"{hide}; exec {ray_} {options}"], stdout=subprocess.DEVNULL)
    try:
        _until_there(address, 4)
        with pytest.raises(UserError, match=r"node .* does not see the store"):
            engine_ray.start(RunContext(Store(tmp_path), Resources(cpus_per_trial=1)))
    finally:
        node.terminate()
        node.wait(30)


def _until_there(address: str, count: int) -> None:
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        for _ in range(120):
            if sum(node["Alive"] for node in ray.nodes()) >= count:
                return
            time.sleep(0.5)
    finally:
        ray.shutdown()
    pytest.fail("the node did not come")
