"""Packages as an installer leaves them, and the command line with such packages on its path."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(package: Path, site: Path) -> Path:
    """The folder `site` with a package in it: its modules, and the entry points that its pyproject.toml declares."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    _declare(site, project["name"], project["version"], project["entry-points"])
    for module in package.glob("*.py"):
        (site / module.name).write_text(module.read_text())
    return site


def plug_in(site: Path, group: str, name: str, source: str) -> None:
    """A package of one module in `site`, which an entry point of the group names."""
    _declare(site, name, "1", {group: {name: name}})
    (site / f"{name}.py").write_text(source)


def _declare(site: Path, name: str, version: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{point} = {module}" for point, module in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def bench(site: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in the folder `where`, of this checkout, whichever is installed, and with what is in `site`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=240, check=False)
