"""A package as an installer leaves it: its modules, and the entry points that its pyproject.toml declares."""

from __future__ import annotations

import tomllib
from pathlib import Path


def install(package: Path, site: Path) -> Path:
    """The folder `site` with the package in it."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for module in package.glob("*.py"):
        (site / module.name).write_text(module.read_text())
    return site
