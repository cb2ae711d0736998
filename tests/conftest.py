"""What several test files share: a tiny experiment that trains in a second."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_experiment import TINY

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Path of the tiny experiment, in a folder of its own."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
