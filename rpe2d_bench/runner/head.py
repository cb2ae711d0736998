"""The head that holds a Ray cluster together: its death ends a run with what to type next.

Ray itself waits a minute for a head that is gone, and then ends the process without a word of that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rpe2d_bench.errors import UserError

GRACE = 30.0  # seconds in which a head that keeps its state may come back; less than Ray's own 60
ANSWER = 1.0  # seconds for a connection
EVERY = 1.0  # seconds between two looks
PATIENCE = 10.0  # seconds for the main thread to hear of its loss; Ray ends the process soon after


class Head:
    """Asked again and again whether it is there."""

    def __init__(self, address: str) -> None:
        """address: HOST:PORT of the service that Ray calls GCS."""
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._silent_since: float | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing answered at the last look."""
        return self._silent_since is not None

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


@contextmanager
def watched(address: str) -> Iterator[None]:
    """While this is open, around a loop of Ray's own in the main thread, the loss of the head interrupts that.

    Raises UserError then. Where a call of Ray's is deaf to it, the sentence is printed and the process ends here, as
    Ray would end it soon after without a word.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone can be interrupted
        yield
        return
    here, head, gone, ended = threading.get_ident(), Head(address), threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            try:
                head.check()
            except UserError as error:
                gone.set()
                signal.pthread_kill(here, signal.SIGINT)
                if not ended.wait(PATIENCE):
                    sys.stderr.write(f"error: {error}\n")
                    sys.stderr.flush()
                    os._exit(2)
                return

    watcher = threading.Thread(target=watch, name="watcher of the head", daemon=True)
    watcher.start()
    try:
        yield
    except BaseException as error:
        if gone.is_set() or (head.silent and isinstance(error, Exception)):  # of a call that did not wait as long
            raise lost() from None
        raise
    finally:
        ended.set()


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
