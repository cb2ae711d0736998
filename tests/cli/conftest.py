"""The command line in this process, and a store in which the tiny experiment is finished."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from helpers.console import Bench, Output

from rpe2d_bench import cli


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Bench:
    """Run a command in this process, as the console script does; anything but an exit is a traceback."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Output:
        monkeypatch.setattr(sys, "argv", ["rpe2d-bench", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as ended:
            code = 0 if ended.code is None else ended.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Output(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def trained(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny experiment is finished, beside its file."""
    return shutil.copytree(finished[0].parent, tmp_path_factory.mktemp("trained") / "tiny") / "runs"
