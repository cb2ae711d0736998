"""Every method by name: this package's own tables and those of every module under the entry point group.

A module named under the group `rpe2d_bench.methods` holds up to five literal dicts, name -> class: POSITIONS,
FREQUENCIES, LOGIT_SCALES, LOGIT_BIASES and ENCODINGS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpe2d_bench.config.entry_points import Table
from rpe2d_bench.encodings.axial import AxialRoPE, AxialSinCos
from rpe2d_bench.encodings.bias import NoBias
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.learned import LearnedTable
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.none import NoEncoding
from rpe2d_bench.encodings.positions import CentredPositions, GridPositions
from rpe2d_bench.encodings.random_positions import RandomPositions

GROUP = "rpe2d_bench.methods"
Methods = Table[Callable[..., Any]]

POSITIONS: Methods = Table(
    GROUP,
    "POSITIONS",
    "positions",
    {
        "grid": GridPositions,
        "centred": CentredPositions,
        "random": RandomPositions,
    },
    shared=True,
)
FREQUENCIES: Methods = Table(
    GROUP,
    "FREQUENCIES",
    "frequencies",
    {
        "geometric": Geometric,
    },
    shared=True,
)
LOGIT_SCALES: Methods = Table(
    GROUP,
    "LOGIT_SCALES",
    "logit_scale",
    {
        "constant": Constant,
    },
    shared=True,
)
LOGIT_BIASES: Methods = Table(
    GROUP,
    "LOGIT_BIASES",
    "bias",
    {
        "none": NoBias,
    },
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
    shared=True,
)
