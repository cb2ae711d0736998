"""Which positional encoding lets a diffusion transformer generate at resolutions it never trained on?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpe2d_bench.analysis.frame import load_records
    from rpe2d_bench.analysis.measured_frame import measure
    from rpe2d_bench.encodings import (
        AxialRoPE,
        AxialSinCos,
        Context,
        Encoding,
        Grid,
        PositionalEncoding,
        rotate,
    )
    from rpe2d_bench.runner.from_python import run

# Public names, imported at first use: the command line's help pays for none of them.
_HOMES = {
    "AxialRoPE": "encodings",
    "AxialSinCos": "encodings",
    "Context": "encodings",
    "Encoding": "encodings",
    "Grid": "encodings",
    "PositionalEncoding": "encodings",
    "rotate": "encodings",
    "load_records": "analysis.frame",
    "measure": "analysis.measured_frame",
    "run": "runner.from_python",
}

__all__ = [
    "AxialRoPE",
    "AxialSinCos",
    "Context",
    "Encoding",
    "Grid",
    "PositionalEncoding",
    "load_records",
    "measure",
    "rotate",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
