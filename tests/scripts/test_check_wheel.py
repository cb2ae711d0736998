"""The wheel's check names what it can't test, and continuous integration has both ends of what is allowed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "check_wheel.py"


def test_an_interpreter_that_is_absent_is_named_and_fails() -> None:
    ran = subprocess.run([sys.executable, SCRIPT, "python3.999"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert ran.stdout == "FAILED: python3.999 is not on this machine: the wheel was not tested with it\n"


def test_both_ends_of_the_allowed_range_are_tested() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import check_wheel; print(*check_wheel.allowed())"
    command = [sys.executable, "-c", code, SCRIPT.parent]
    ends = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    classified = [
        line.rpartition(" ")[2]
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert ends == [f"python{classified[0]}", f"python{classified[-1]}"]
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["wheel"]
    assert [f"python{version}" for version in job["strategy"]["matrix"]["python"]] == ends
