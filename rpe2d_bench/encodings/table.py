"""Every method by name: this package's own tables and those of every module under the entry point group.

A module named under the group `rpe2d_bench.methods` holds up to five literal dicts, name -> class: POSITIONS,
FREQUENCIES, LOGIT_SCALES, LOGIT_BIASES and ENCODINGS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpe2d_bench.config.entry_points import Table, no_options
from rpe2d_bench.encodings.axial import AxialRoPE, AxialSinCos
from rpe2d_bench.encodings.bias import NoBias
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import PositionalEncoding
from rpe2d_bench.encodings.learned import LearnedTable
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.none import NoEncoding
from rpe2d_bench.encodings.positions import CentredPositions, GridPositions
from rpe2d_bench.encodings.random_positions import RandomPositions

GROUP = "rpe2d_bench.methods"
Methods = Table[Callable[..., Any]]


def no_encoding(entry: Any) -> str | None:
    """The complaint about an entry that is no encoding."""
    fits = isinstance(entry, type) and issubclass(entry, PositionalEncoding)
    return None if fits else "it is no subclass of PositionalEncoding"


POSITIONS: Methods = Table(
    GROUP,
    "POSITIONS",
    "positions",
    {
        "grid": GridPositions,
        "centred": CentredPositions,
        "random": RandomPositions,
    },
    no_options("__call__"),
    shared=True,
)
FREQUENCIES: Methods = Table(
    GROUP,
    "FREQUENCIES",
    "frequencies",
    {
        "geometric": Geometric,
    },
    no_options("__call__"),
    shared=True,
)
LOGIT_SCALES: Methods = Table(
    GROUP,
    "LOGIT_SCALES",
    "logit_scale",
    {
        "constant": Constant,
    },
    no_options("__call__"),
    shared=True,
)
LOGIT_BIASES: Methods = Table(
    GROUP,
    "LOGIT_BIASES",
    "bias",
    {
        "none": NoBias,
    },
    no_options("build"),
    shared=True,
)
ENCODINGS: Methods = Table(
    GROUP,
    "ENCODINGS",
    "encoding",
    {
        "axial_rope": AxialRoPE,
        "axial_sincos": AxialSinCos,
        "learned": LearnedTable,
        "none": NoEncoding,
    },
    no_encoding,
    shared=True,
)
