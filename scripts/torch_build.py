"""After an installation: one sentence where a build of PyTorch for GPUs came to a machine without one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import distributions


def advice(installed: Iterable[str], gpu: bool) -> str | None:
    """What to write instead, given names of installed packages and whether there is a GPU; None: all is well."""
    if gpu or not any(name.lower().startswith("nvidia-cudnn") for name in installed):
        return None
    return (
        "note: no NVIDIA GPU was found, and PyTorch came with several GB for one; the build for processors is smaller: "
        "see TORCH_INDEX in docs/machines.md"
    )


if __name__ == "__main__":
    text = advice((part.name for part in distributions()), shutil.which("nvidia-smi") is not None)
    if text:
        sys.stdout.write(text + "\n")
