"""The UI's processes end with the command that started them, and the next one says who holds its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import keeper
from rpe2d_bench.tracking.connection import DATABASE, check_database, set_aside
from rpe2d_bench.tracking.ui import check_port

# A server as MLflow's is: a child in its group, and one in a session of its own.
SERVER = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(120)"]
subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)
print("up", flush=True)
time.sleep(120)
"""
STARTER = """
import subprocess, sys
kept = subprocess.Popen([sys.executable, "-I", {keeper!r}, sys.executable, "-c", {server!r}], stdin=subprocess.PIPE,
                        start_new_session=True)
kept.wait()
"""


def gone(processes: list[psutil.Process], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        alive = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not alive:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def started() -> Iterator[subprocess.Popen[str]]:
    code = STARTER.format(keeper=str(Path(keeper.__file__)), server=SERVER)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
        child.kill()
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="adopting what leaves the group needs Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_whoever_started_them(started: subprocess.Popen[str], number: int) -> None:
    children = psutil.Process(started.pid).children(recursive=True)
    assert len(children) == 4  # keeper, server and its two
    started.send_signal(number)
    assert gone(children)


@pytest.mark.skipif(sys.platform != "linux", reason="adopting what leaves the group needs Linux")
def test_a_keeper_that_is_asked_to_end_takes_everything_with_it(started: subprocess.Popen[str]) -> None:
    children = psutil.Process(started.pid).children(recursive=True)
    os.kill(psutil.Process(started.pid).children()[0].pid, signal.SIGTERM)
    assert gone(children)
    assert started.wait(5) == 0


def test_a_taken_port_is_named_with_who_holds_it() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is taken by .*--port {port + 1}") as raised:
            check_port(port)
        assert f"process {os.getpid()} (" in str(raised.value)
    check_port(port)
    with pytest.raises(UserError, match="1 to 65535"):
        check_port(70000)


def test_a_damaged_database_is_named_and_put_aside(logged: tuple[Path, list[Record]], tmp_path: Path) -> None:
    database = tmp_path / DATABASE
    assert set_aside(database) is None  # there is none
    content = bytearray((logged[0] / DATABASE).read_bytes())
    database.write_bytes(content)
    assert set_aside(database) is None
    content[4096:16384] = bytes(12288)
    database.write_bytes(content)
    with pytest.raises(UserError, match=r"mlflow\.db is damaged .*rpe2d-bench sync"):
        check_database(database)
    beside = set_aside(database)
    assert beside is not None
    assert beside.read_bytes() == content
    assert not database.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="adopting what leaves the group needs Linux")
def test_a_killed_ui_leaves_no_process_behind(logged: tuple[Path, list[Record]], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from rpe2d_bench.cli import main; main()"
    command = [sys.executable, "-c", code, "ui", "--store", str(logged[0]), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as trial:
            if not trial.connect_ex(("127.0.0.1", port)):
                break
        assert process.poll() is None
        time.sleep(0.5)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    second = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert second.returncode == 2
    assert f"port {port} is taken by process" in second.stderr
    process.kill()
    process.wait()
    assert gone(children)
