"""The MLflow UI on a store, in a real browser: what a user sees after `rpe2d-bench ui`."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from helpers.chromium import browser, needs_browser, requests_of, screenshot
from helpers.synthetic_records import METHODS, make_records

from rpe2d_bench.tracking import ENVIRONMENT, sync, ui_address, ui_command

pytestmark = [needs_browser, pytest.mark.slow]
PATIENCE = 120.0  # seconds; the server imports for half a minute on a busy machine


def wait_for(what: str, ready: Any) -> None:
    give_up = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < give_up, f"{what} did not come"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = tmp_path_factory.mktemp("store")
    methods = {name: METHODS[name] for name in ("extrapolation", "yarn", "rpe2d")}
    sync(store, None, make_records(store, seeds=(0, 1), tests=[(16, 16), (32, 32), (48, 48)], methods=methods))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ui_command(store, port),
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        assert server.poll() is None, "the UI's server ended"
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    try:
        wait_for("the server", answers)
        yield ui_address(store, port)
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


def test_ui_opens_on_the_comparison_of_methods(served: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", 1600, 1000) as window:
        requests_of(window)
        window.get(served)
        wait_for("charts", lambda: "curves" in window.find_element("tag name", "body").text)
        wait_for("a drawn curve", lambda: window.find_elements("css selector", ".plotly .scatterlayer path"))
        text = window.find_element("tag name", "body").text
        assert text.index("answer") < text.index("curves")
        for name in ("extrapolation", "yarn", "real images"):
            assert name in text
        screenshot(window, "mlflow-curves", tmp_path, "body")
        hosts = {urlsplit(address).hostname for address in requests_of(window) if address.startswith("http")}
        assert hosts == {"127.0.0.1"}
        window.get(served.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"))
        wait_for("the list", lambda: "Created" in window.find_element("tag name", "body").text)
        screenshot(window, "mlflow-list", tmp_path, "body")
