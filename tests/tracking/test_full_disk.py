"""MLflow's database on a disk that takes no more: the run ends well, says so once, and `sync` completes the view."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rpe2d_bench.storage import records


@pytest.fixture(params=["600k", "1600k"], ids=["full before it is made", "full while it is written"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "test", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # this process's client keeps the database open


@pytest.mark.slow
def test_a_run_whose_mlflow_has_no_room_ends_well(tiny: Path, tmp_path: Path, small_disk: Path) -> None:
    store, uri = tmp_path / "runs", f"sqlite:///{small_disk}/mlflow.db"
    run = _bench("run", str(tiny), "--engine", "local", "--store", str(store), "--tracking-uri", uri, folder=tmp_path)
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert "Traceback" not in output
    assert " ".join(output.split()).count("the records hold everything") == 1, output
    cells = [record for record in records.read(store) if record.stage == "measure"]
    assert len(cells) == 9
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    synced = _bench("sync", "--store", str(store), "--tracking-uri", uri, folder=tmp_path)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert len(client.search_runs(experiments, "tags.stage = 'measure'")) == len(cells)


def _bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
