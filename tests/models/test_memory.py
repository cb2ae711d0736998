"""Freed memory is kept: tensors of sizes that were freed wait for no fresh pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from rpe2d_bench.models import DiT, preset
from rpe2d_bench.models.memory import keep_freed_memory

# Eight tensors of 48 MiB at once, freed, again: as attention over 1,024 tokens; above 32 MiB glibc's threshold ends
COUNT = """
import resource, torch
from rpe2d_bench.models.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.empty(48 << 18).fill_(1.0) for _ in range(8)]
    del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

[faults() for _ in range(3)]
by_default = sum(faults() for _ in range(3))
kept = keep_freed_memory()
[faults() for _ in range(2)]
print(by_default, int(kept), sum(faults() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc takes the hint")
def test_no_fresh_pages_for_what_was_freed() -> None:
    shown = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    by_default, kept, after = map(int, shown.split())
    assert kept
    assert after < 2_500
    if by_default < 50_000:  # pages of 4 KiB; something at the end of the heap can keep it from shrinking
        pytest.skip("freed memory was kept without the hint, so nothing is seen of it")
    assert after < by_default / 20


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False


def test_a_model_sets_nothing_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[str, str]:
        raise AssertionError("the C library was asked for")

    monkeypatch.setattr(platform, "libc_ver", refuse)
    keep_freed_memory.cache_clear()
    DiT(preset("DiT-Nano/4"), channels=1, num_classes=2)
