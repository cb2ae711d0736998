"""Weights that the user brings as a file: named by their content, never by their path."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from rpe2d_bench.errors import UserError


def digest(path: Path) -> str:
    """First 12 digits of the file's sha256, which stand for it in versions and in addresses."""
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UserError(f"weights {path} cannot be read ({error.strerror}); give the path of the file") from error


@lru_cache(maxsize=8)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth or .pt file by name, without running what the file may hold."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read as weights ({why}); give a .safetensors or .pth file") from error
