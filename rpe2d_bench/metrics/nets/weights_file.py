"""Weights that the user brings as a file: named by their content, never by their path."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import sha256_of_unchanged


def digest(path: Path) -> str:
    """First 12 digits of the file's sha256, which stand for it in versions and in addresses."""
    try:
        return sha256_of_unchanged(path)[:12]
    except OSError as error:
        raise UserError(f"weights {path} cannot be read ({error.strerror}); give the path of the file") from error


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
