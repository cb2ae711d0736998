"""The wheel as somebody has it who never saw this repository.

    python scripts/check_wheel.py [PYTHON ...] [-- OPTIONS OF PIP]

Builds it, and with each interpreter (by default the oldest and the newest Python that pyproject.toml allows), in a
fresh environment outside the tree: `rpe2d_bench.encodings` imports beside torch alone, and with all that the wheel asks
for the command knows its version, a method and a shipped experiment by name. An absent interpreter is a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTED = """
import pathlib, sys, importlib.metadata as metadata
import rpe2d_bench.encodings as e
assert pathlib.Path(e.__file__).is_relative_to(sys.prefix), e.__file__
assert "pydantic" not in {found.name for found in metadata.distributions()}, "the environment is not bare"
rope = e.AxialRoPE(64)(e.Context(e.Grid(12, 12), e.Grid(8, 8)))
print("encodings beside torch alone:", tuple(rope.angles_BHNF.shape))
"""
COMMANDS = (("--version",), ("show", "rpe2d"), ("validate", "quick"))


def allowed() -> tuple[str, str]:
    """Oldest and newest Python of `requires-python`, which names a first and the first that is too new."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest, above = (int(minor) for minor in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", asked).groups())  # type: ignore[union-attr]
    return f"python3.{lowest}", f"python3.{above - 1}"


def version_of(python: str) -> str | None:
    """'3.11.7', or None where there is no such interpreter."""
    try:
        asked = [python, "-c", "import platform; print(platform.python_version())"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def check(python: str, wheel: Path, folder: Path, options: Sequence[str]) -> None:
    """Raises CalledProcessError where the wheel does not do what it should."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    programs = folder / "environment" / "bin"

    def run(*command: str | Path, where: Path = folder) -> None:
        subprocess.run(command, cwd=where, env=environment, check=True)

    run(python, "-m", "venv", programs.parent)
    install = [programs / "pip", "install", "--quiet", "--no-compile", *options]
    run(*install, "torch", where=ROOT)
    run(*install, "--no-deps", wheel, where=ROOT)
    run(programs / "python", "-c", IMPORTED)
    run(*install, wheel, where=ROOT)
    for arguments in COMMANDS:
        run(programs / "rpe2d-bench", *arguments)


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 where every interpreter was there and passed."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    pythons, options = arguments[:at] or allowed(), arguments[at + 1 :]
    failed = []
    with tempfile.TemporaryDirectory(prefix="rpe2d-wheel-") as temporary:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", temporary, str(ROOT)]
        versions = {python: version_of(python) for python in pythons}
        if any(versions.values()):
            subprocess.run(build, check=True)
        for number, (python, version) in enumerate(versions.items()):
            if version is None:
                failed.append(f"{python} is not on this machine: the wheel was not tested with it")
                continue
            (wheel,), folder = Path(temporary).glob("*.whl"), Path(temporary) / str(number)
            folder.mkdir()
            print(f"== Python {version}, {wheel.name}", flush=True)
            try:
                check(python, wheel, folder, options)
            except subprocess.CalledProcessError as error:
                failed.append(f"Python {version}: {' '.join(map(str, error.cmd))} ended with {error.returncode}")
    for sentence in failed:
        print(f"FAILED: {sentence}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
