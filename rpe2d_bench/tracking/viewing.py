"""How to look at a store in the MLflow UI."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

from rpe2d_bench.errors import UserError
from rpe2d_bench.tracking.connection import DATABASE, default_uri

ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true"}


def ui_command(store: Path, port: int) -> list[str]:
    """The command that serves the UI, on this machine only; to be run with ENVIRONMENT."""
    if not (Path(store) / DATABASE).is_file():
        raise UserError(f"nothing is logged in {store}; run an experiment, or rebuild its view: rpe2d-bench sync")
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", default_uri(store), "--host", "127.0.0.1",
            "--port", str(port)]  # fmt: skip


def ui_address(store: Path, port: int) -> str:
    """Where to look first: the methods of the latest experiment as charts. MLflow's own start page shows no runs."""
    home = f"http://127.0.0.1:{port}/"
    try:
        with sqlite3.connect(f"file:{(Path(store) / DATABASE).resolve()}?mode=ro", uri=True, timeout=5) as database:
            found = database.execute(
                "SELECT r.experiment_id FROM runs r JOIN experiments e ON r.experiment_id = e.experiment_id"
                " WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active'"
                " ORDER BY r.start_time DESC LIMIT 1"
            ).fetchone()
    except sqlite3.Error:
        return home
    if found is None:
        return home
    chosen = quote('tags.stage = "mean"')
    return (
        f"{home}#/experiments/{found[0]}/runs?workflowType=machine_learning&compareRunsMode=CHART&searchFilter={chosen}"
    )
