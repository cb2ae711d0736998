"""Positional encodings: the interface, the core methods, and the tables of everything installed."""

from rpe2d_bench.encodings.axial import AxialRoPE, AxialSinCos
from rpe2d_bench.encodings.bias import Bias, LogitBias, NoBias, PairBias
from rpe2d_bench.encodings.frequencies import Geometric, geometric
from rpe2d_bench.encodings.identity import realised_digest
from rpe2d_bench.encodings.interface import (
    Context,
    Encoding,
    Frequencies,
    Grid,
    LogitScale,
    PositionalEncoding,
    Positions,
    rotate,
)
from rpe2d_bench.encodings.scaling import device_of, scale, time_of
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.encodings.spec import EncodingSpec, build, replaced, validate
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS

__all__ = [
    "ENCODINGS",
    "FREQUENCIES",
    "LOGIT_BIASES",
    "LOGIT_SCALES",
    "POSITIONS",
    "AxialRoPE",
    "AxialSinCos",
    "Bias",
    "Context",
    "Encoding",
    "EncodingSpec",
    "Frequencies",
    "Geometric",
    "Grid",
    "LogitBias",
    "LogitScale",
    "NoBias",
    "PairBias",
    "PositionalEncoding",
    "Positions",
    "Source",
    "build",
    "device_of",
    "geometric",
    "realised_digest",
    "replaced",
    "rotate",
    "scale",
    "time_of",
    "validate",
]
