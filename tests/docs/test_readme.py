"""README.md is true: its code runs, its commands parse, what it names is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.documents import ROOT, Block, anchors, blocks

README = ROOT / "README.md"
PYTHON = blocks(README, "python")


def test_there_is_code_to_run() -> None:
    assert PYTHON


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.text.strip().splitlines()[-1][:40])
def test_python_of_the_readme_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(README), "exec"), {"__name__": "__readme__"})


def test_anchors_inside_the_readme_exist() -> None:
    import re

    for target in re.findall(r"\]\(#([^)]+)\)", README.read_text()):
        assert target in anchors(README), target
