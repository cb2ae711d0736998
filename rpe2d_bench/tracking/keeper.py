"""A process that keeps another with all its children, and ends them when whoever started it is gone.

    python keeper.py COMMAND ...

It knows that from its standard input, which only its starter holds open: however that ends, even by a kill, the input
ends with it. The command runs in a session of its own, so that it can be ended as a group; on Linux what leaves that
group is adopted and ended, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
GRACE = 2.0  # seconds that children have to end by themselves


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input does; returns its exit code."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked.append(number))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent)
    code: int | None = None
    while code is None and not asked:
        ready, _, _ = select.select([sys.stdin], [], [], 0.2)
        if ready and not os.read(sys.stdin.fileno(), 1024):
            break
        code = child.poll()
    _end(child)
    return 0 if code is None else code


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command's group, politely and then not, and whatever else has become a child of this process."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and (_reap() or _group_is_there(child.pid)):
            time.sleep(0.05)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and (left := _children()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _reap() -> bool:
    """Whether there are children, after those that have ended were waited for."""
    try:
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return True
    except ChildProcessError:
        return False


def _group_is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _children() -> list[int]:
    """Children of this process, adopted ones included; none where the system does not tell."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _end_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
