"""A small part of the campaign against a store passes, and fails where a guard is taken out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.chaos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)


def test_a_small_campaign_finds_no_difference() -> None:
    ended = chaos("--quick")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ": 0 differ." in ended.stdout
    assert "| SIGKILL |" in ended.stdout


# Flips alone may hit a place that does not matter; of the five kinds of damage several do.
@pytest.mark.parametrize(
    ("guard", "file"),
    [("checkpoint", "checkpoint.pt under way"), ("samples", "samples under way"), ("stages", "weights")],
)
def test_without_a_guard_it_fails(guard: str, file: str) -> None:
    ended = chaos("--file", file, "--each", "4", "--without", guard)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "other numbers" in ended.stdout or "differ." in ended.stdout
    assert ": 0 differ." not in ended.stdout
    assert chaos("--file", file, "--each", "1").returncode == 0
