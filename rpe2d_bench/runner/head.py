"""The head that holds a Ray cluster together: its death ends a run with what to type next.

Ray itself waits a minute for a head that is gone, and then ends the process without a word of that.
"""

from __future__ import annotations

import os
import socket
import time

from rpe2d_bench.errors import UserError

GRACE = 30.0  # seconds in which a head that keeps its state may come back; less than Ray's own 60
ANSWER = 1.0  # seconds for a connection


class Head:
    """Asked again and again whether it is there."""

    def __init__(self, address: str) -> None:
        """address: HOST:PORT of the service that Ray calls GCS."""
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._silent_since: float | None = None

    def check(self) -> None:
        """Raises UserError once nothing has answered there for GRACE seconds."""
        now = time.monotonic()
        try:
            socket.create_connection(self._place, timeout=ANSWER).close()
            self._silent_since = None
        except OSError:
            self._silent_since = self._silent_since or now
            if now - self._silent_since > GRACE:
                raise lost() from None


def lost() -> UserError:
    """What to type when Ray is no longer there."""
    what, remedy = "Ray on this machine", ""
    if cluster := os.environ.get("RAY_ADDRESS"):
        what = f"the head of the Ray cluster at RAY_ADDRESS={cluster}"
        remedy = "start Ray again (`ray start --head` there, `ray start --address` on the other nodes) and "
    return UserError(
        f"{what} no longer answers; {remedy}run the same command again:"
        " what is finished is kept, and what was under way continues from its last checkpoint"
    )
