"""Help is light: it loads nothing heavy, and every command has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.console import Bench
from helpers.installed import ROOT

HEAVY = ("torch", "ray", "mlflow", "pandas", "matplotlib", "numpy", "pydantic", "yaml")
COMMANDS = (
    "run",
    "work",
    "plan",
    "validate",
    "report",
    "ls",
    "show",
    "check",
    "sample",
    "measure",
    "status",
    "store",
    "gc",
    "sync",
    "ui",
)


def loaded_by(*arguments: str) -> tuple[str, set[str]]:
    """Output of a command in a fresh interpreter, and which heavy modules it loaded."""
    program = (
        "import sys\nfrom rpe2d_bench import cli\n"
        f"sys.argv = {['rpe2d-bench', *arguments]!r}\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    output, _, names = done.stdout.rpartition("LOADED")
    return output, set(names.split())


def test_help_loads_nothing_heavy() -> None:
    output, loaded = loaded_by("--help")
    assert not loaded
    assert all(f"  {command} " in output for command in COMMANDS)


def test_mistakes_in_yaml_answer_without_torch_ray_or_mlflow(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    _, loaded = loaded_by("validate", str(tmp_path / "broken.yaml"))
    assert not loaded & {"torch", "ray", "mlflow", "pandas", "matplotlib"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(bench: Bench, command: str) -> None:
    printed = bench(command, "--help")
    assert printed.code == 0
    assert f"rpe2d-bench {command}" in printed.out.splitlines()[0]
    assert len(printed.out.splitlines()) > 5


def test_the_package_is_the_command_where_no_script_is_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rpe2d_bench", "validate", "absent.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: absent.yaml: no such file")
