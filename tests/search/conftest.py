"""The tiny experiment with a search."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.searched_experiment import SEARCH
from helpers.tiny_experiment import TINY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + SEARCH)
    return path
