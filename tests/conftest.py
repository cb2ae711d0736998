"""What several test files share: a tiny experiment that trains in a second, on a machine whose speed is no matter."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


@pytest.fixture(scope="session", autouse=True)
def _float32_is_faster() -> Iterator[None]:
    """`precision: auto` is float32 in this process, whatever the machine measures."""
    from rpe2d_bench import speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "compare_blocks", lambda *arguments: speed.Comparison(0.5, 1.0, 1))
        patch.setattr(speed, "compare_convolutions", lambda *arguments: speed.Comparison(0.5, 1.0, 1))
        yield
