"""Freed memory is kept: the next tensor of the same size waits for no fresh pages."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from rpe2d_bench.models.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc takes the hint")
def test_no_fresh_pages_for_a_size_that_was_freed() -> None:
    assert keep_freed_memory()
    values = (24 << 20) // 4

    def faults(times: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(times):
            torch.empty(values).fill_(1.0)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults(2)
    # anew each time it would be 10 x 24 MiB / 4 KiB = 61,440
    assert faults(10) < 10_000


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False
