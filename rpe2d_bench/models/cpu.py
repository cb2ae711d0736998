"""Freed memory is kept for the next tensor, where the C library lets us say so (glibc).

By default glibc hands big blocks back to the system, and the next tensor of that size waits for fresh pages. Attention
over 64 to 1,024 tokens takes 2-3 times as long that way (docs/performance.md). It is a setting of the process, so
whoever starts one that trains or samples asks for it: the runner's workers and the commands, not the model.
"""

from __future__ import annotations

import ctypes
import functools
import platform

# Of a process whose work is done by another thread than its first, as in trials of Ray Tune: set before it starts.
# Heaps of other threads give memory back whatever the thresholds say.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h
_KEPT = 1 << 30  # bytes of freed memory at the end of the heap


@functools.cache
def keep_freed_memory() -> bool:
    """Once per process; whether it had an effect."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _KEPT))
