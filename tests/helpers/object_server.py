"""An object server on loopback: moto's, in this process."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def object_server() -> Iterator[str]:
    """Its address; skips the test where moto is not installed."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("pyarrow.fs")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST"))
        urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"))
        yield address
    finally:
        running.stop()
