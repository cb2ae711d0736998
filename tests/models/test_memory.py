"""Freed memory is kept by the C library, for tensors of any size."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from rpe2d_bench.models import DiT, preset
from rpe2d_bench.models.cpu import keep_freed_memory

# Beyond 32 MiB glibc maps every block anew, unless it was told not to; attention over 1,024 tokens makes such tensors.
# What the C library says of itself: bytes in blocks mapped one by one, and free bytes that it keeps.
ACCOUNTS = """
import ctypes, torch
from rpe2d_bench.models.cpu import keep_freed_memory

class Accounts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Accounts
torch.empty(48 << 18).fill_(1.0)

def mapped_and_kept():
    tensor = torch.empty(48 << 18).fill_(1.0)
    mapped = libc.mallinfo2().hblkhd
    del tensor
    return mapped, libc.mallinfo2().fordblks

by_default = mapped_and_kept()
print(int(keep_freed_memory()), *by_default, *mapped_and_kept())
"""
MIB = 1 << 20


def says_what_it_keeps() -> bool:
    return platform.libc_ver()[0] == "glibc" and hasattr(ctypes.CDLL(None), "mallinfo2")


@pytest.mark.skipif(not says_what_it_keeps(), reason="only glibc takes the hint, and says so from 2.33 on")
def test_what_was_freed_is_kept_for_the_next_tensor() -> None:
    shown = subprocess.run([sys.executable, "-c", ACCOUNTS], capture_output=True, text=True, check=True).stdout
    hinted, mapped_before, kept_before, mapped, kept = map(int, shown.split())
    assert hinted
    assert mapped_before - mapped >= 48 * MIB  # the same tensor no longer gets a mapping of its own
    assert kept_before < 48 * MIB <= kept


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False


def test_a_model_sets_nothing_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[str, str]:
        raise AssertionError("the C library was asked for")

    monkeypatch.setattr(platform, "libc_ver", refuse)
    keep_freed_memory.cache_clear()
    DiT(preset("DiT-Nano/4"), channels=1, num_classes=2)
