"""A cluster of Ray on loopback whose nodes share nothing but a bucket."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.object_server import object_server
from rpe2d_bench.runner import engine_ray

ADDRESS = "s3://bucket/runs"
SMALL: dict[str, Any] = {"object_store_memory": 100 * 2**20}
GATES = Path(__file__).with_name("gates.py")


class Nodes:
    """A head without CPUs, and nodes of one CPU, each with copies of its own."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        head = {"num_cpus": 0, "include_dashboard": False, **SMALL}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self._cluster.address
        self._nodes: dict[str, Any] = {}

    def add(self, name: str) -> None:
        copies = {"RPE2D_BENCH_CACHE": str(self.folder / name)}
        self._nodes[name] = self._cluster.add_node(num_cpus=1, env_vars=copies, **SMALL)

    def of(self, pid: int) -> str:
        """The node that a worker belongs to."""
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return next(n for n, each in self._nodes.items() if each.all_processes["raylet"][0].process.pid == parent)

    def kill(self, name: str) -> None:
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def trained(self, name: str) -> list[Path]:
        """Files of trainings, whole or under way, in the copies of a node."""
        return sorted((self.folder / name).glob("*/stages/train/*/*"))

    def stop(self) -> None:
        self._cluster.shutdown()


@contextmanager
def nodes_of_a_bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """The cluster that RAY_ADDRESS names then, without nodes; workers stop at the gates below `folder`."""
    pytest.importorskip("ray")
    short = Path(tempfile.mkdtemp(prefix="ray"))  # sockets have short paths
    (folder / "gates").mkdir()
    (folder / "hooks").mkdir()
    shutil.copy(GATES, folder / "hooks" / "sitecustomize.py")
    for name, value in {
        **engine_ray.ENVIRONMENT,
        "RAY_TMPDIR": str(short),
        "GATES": str(folder / "gates"),
        "PYTHONPATH": f"{folder / 'hooks'}:{os.environ.get('PYTHONPATH', '')}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "RPE2D_BENCH_CACHE": str(folder / "driver"),
    }.items():
        monkeypatch.setenv(name, value)
    with object_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        made = Nodes(folder)
        monkeypatch.setenv("RAY_ADDRESS", made.address)
        try:
            yield made
        finally:
            made.stop()
            shutil.rmtree(short, ignore_errors=True)
