"""Tensors by name from a file, and nothing else of it: .safetensors, or what torch.save wrote, read as weights only.

The header of a safetensors file is read without the tensors, so that `validate` and `plan` can look inside.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

METADATA = "__metadata__"  # the key of safetensors for what is no tensor
LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
AVERAGED, PLAIN = "ema", "model"  # where training scripts put weights beside other things; the average is sampled


def tensors(path: Path, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """Name -> tensor of a .safetensors or .pt file, on the meta device where only shapes are asked for.

    Raises UserError for a file that is neither, and for one that holds more than tensors: nothing of it is executed.
    """
    if path.suffix in (".pt", ".pth", ".bin"):
        return _from_pickle(path, "meta" if shapes_only else "cpu")
    return from_safetensors(path, shapes_only=shapes_only)


def from_safetensors(path: Path, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """The same of a safetensors file, whatever its name."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = header_of(path)[0]
    if shapes_only:
        return {name: torch.empty(part["shape"], device="meta") for name, part in header.items() if name != METADATA}
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"checkpoint {path} is not a readable safetensors file: {error}") from None


def _from_pickle(path: Path, device: str) -> dict[str, Tensor]:
    import torch

    try:
        with warnings.catch_warnings():  # about pickle protocols, before it refuses them
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"checkpoint {path} holds pickled objects beyond tensors, or is no file of torch.save; nothing of it was "
            "executed. If you trust it, save its weights alone: torch.save({'ema': checkpoint['ema']}, 'weights.pt')"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"checkpoint {path} is not a readable .pt or .safetensors file: {reason}") from None
    for key in (AVERAGED, PLAIN):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise UserError(
            f"checkpoint {path} holds no weights by name, neither by itself nor under {AVERAGED!r} or {PLAIN!r}"
        )
    return {str(name): value for name, value in found.items()}


def header_of(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its tensors start. Raises UserError for anything but a whole one."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size - 8, LONGEST_HEADER):
                raise ValueError("its header does not fit into it")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != METADATA]
        sizes = [math.prod(entry["shape"]) for name, entry in header.items() if name != METADATA]
        if not ends or min(sizes) < 0 or 8 + length + max(ends) != size:
            raise ValueError("it does not hold the tensors that its header names")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else "it does not start as one"
        raise UserError(
            f"checkpoint {path} is not a readable safetensors file: {why}; give a safetensors file with the weights of "
            "a DiT"
        ) from None
    return header, 8 + length
