"""The versions installed beside this Python, as constraints for pip and uv; `make lock` writes constraints.txt so.

Left out: this project itself, installers, and what a CUDA build of PyTorch brings, since that build names its own
versions. Local parts (2.13.0+cpu) go: the file fixes the version, and each machine chooses its build.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions

OURS = {"rpe2d-bench", "pip", "setuptools", "wheel", "uv"}
OF_A_CUDA_BUILD = re.compile(r"(nvidia|cuda)-.*|triton")


def constraints() -> list[str]:
    """Lines `name==version`, sorted by name."""
    found = {re.sub(r"[-_.]+", "-", part.name).lower(): part.version.partition("+")[0] for part in distributions()}
    return [
        f"{name}=={version}"
        for name, version in sorted(found.items())
        if name not in OURS and not OF_A_CUDA_BUILD.fullmatch(name)
    ]


if __name__ == "__main__":
    lines = [
        "# Versions that were tested together; `make lock` writes this file anew (docs/machines.md).",
        f"# Made with Python {sys.version_info.major}.{sys.version_info.minor}; `make CONSTRAINTS=` goes without.",
        *constraints(),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
