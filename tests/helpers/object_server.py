"""Object servers on loopback, in this process: moto's for s3://, and an emulator for gs://."""

from __future__ import annotations

import socket
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


@contextmanager
def google_server() -> Iterator[str]:
    """Options of an address in it; skips the test where the emulator is not installed."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    pytest.importorskip("pyarrow.fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket"):
        yield f"endpoint_override=127.0.0.1:{port}&scheme=http"
