"""How to look at a store in the MLflow UI."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from rpe2d_bench.errors import UserError
from rpe2d_bench.tracking import keeper
from rpe2d_bench.tracking.connection import DATABASE, check_database, connect, default_uri

SHOWN = 80  # characters of a command line

# Jobs of MLflow's server evaluate language models: ten processes that nothing here needs.
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_ui(store: Path, port: int, say: Callable[[str], object] = lambda _: None) -> int:
    """Serve the UI until Ctrl-C; says where, and returns the exit code.

    Its processes end with this one, however this one ends.
    Raises UserError where nothing is logged, the database is damaged or the port is taken.
    """
    command = ui_command(store, port)
    check_database(Path(store) / DATABASE)
    check_port(port)
    say(f"MLflow at {ui_address(store, port)} (Ctrl-C stops it)")
    kept = [sys.executable, "-I", str(Path(keeper.__file__)), *command]
    environment = {**os.environ, **ENVIRONMENT}
    server = subprocess.Popen(kept, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    assert server.stdin is not None
    try:
        return server.wait()
    except KeyboardInterrupt:
        server.stdin.close()  # what the keeper waits for
        server.wait()
        return 0


def check_port(port: int) -> None:
    """Raises UserError where another process listens there: who, and what to do."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
            return
        except OverflowError:
            raise UserError(f"--port {port}: write a number from 1 to 65535") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"--port {port}: {os.strerror(error.errno or 0)}; choose another") from error
    listening = _listening(port)
    if listening is None:
        raise UserError(f"port {port} is taken by another program; choose another: --port {port + 1}")
    pid, what = listening
    raise UserError(
        f"port {port} is taken by process {pid} ({what}); end it with `kill {pid}`, or choose another:"
        f" --port {port + 1}"
    )


def _listening(port: int) -> tuple[int, str] | None:
    """Process and command line of who listens on a port; None where this user may not know."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                line = " ".join(psutil.Process(connection.pid).cmdline())
                return connection.pid, line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
    except (psutil.Error, OSError):
        pass
    return None


def ui_command(store: Path, port: int) -> list[str]:
    """The command that serves the UI, on this machine only; to be run with ENVIRONMENT."""
    if not (Path(store) / DATABASE).is_file():
        raise UserError(f"nothing is logged in {store}; run an experiment, or rebuild its view: rpe2d-bench sync")
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", default_uri(store), "--host", "127.0.0.1",
            "--port", str(port)]  # fmt: skip


def ui_address(store: Path, port: int) -> str:
    """Where to look first: the methods of the latest experiment as charts. MLflow's own start page shows no runs."""
    home = f"http://127.0.0.1:{port}/"
    if not (Path(store) / DATABASE).is_file():
        return home
    try:
        client = connect(default_uri(store))
        active = [found.experiment_id for found in client.search_experiments()]
        latest = client.search_runs(active, order_by=["attributes.start_time DESC"], max_results=1)
    except Exception:  # whatever MLflow can't read: its UI says what, and needs no address for that
        return home
    if not latest:
        return home
    page = f"{home}#/experiments/{latest[0].info.experiment_id}/runs"
    chosen = quote('tags.stage = "mean"')
    return f"{page}?workflowType=machine_learning&compareRunsMode=CHART&searchFilter={chosen}"
