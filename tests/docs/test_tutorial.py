"""docs/tutorial.md works from its first command to its last: files are written, commands run, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.documents import ROOT, blocks, shell_lines, words
from helpers.installed import install

TUTORIAL = ROOT / "docs" / "tutorial.md"
# Commands of the command line in one fresh process, so that torch is imported once; stops at the first that fails.
DRIVER = """
import json, runpy, sys
from rpe2d_bench import cli
for line in json.loads(sys.argv[1]):
    print("$", *line, flush=True)
    sys.argv = line
    try:
        if line[0] == "python":
            runpy.run_path(line[1], run_name="__main__")
        else:
            cli.main()
    except SystemExit as ended:
        if ended.code not in (0, None):
            raise
"""


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    for block in blocks(TUTORIAL, "yaml", "python", "toml"):
        assert block.file, block.text
        file = tmp_path / block.file
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    lines = [words(line) for line in shell_lines(TUTORIAL)]
    assert ["make", "install"] in lines
    assert ["pip", "install", "-e", "./my_method"] in lines
    commands = [line for line in lines if line[0] in ("rpe2d-bench", "python")]
    assert len(commands) > 12
    install(tmp_path / "my_method", tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    quiet = [[*line, "--no-mlflow"] if "run" in line[:2] else line for line in commands]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(quiet)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for page in ("first", "second", "first_vs_second"):
        assert (tmp_path / "reports" / page / "index.html").exists()
    assert (tmp_path / "rpe2d.png").exists()
    assert "nothing to train or to sample" in done.stdout  # the second run of the first experiment
    table = (tmp_path / "reports" / "second" / "results.csv").read_text()
    assert ",root," in table
