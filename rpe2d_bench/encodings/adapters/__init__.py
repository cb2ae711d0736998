"""Somebody else's models with our encodings; one file per architecture."""

from rpe2d_bench.encodings.adapters.flux import FluxRotary, PlainRotary, swap_rotary

__all__ = ["FluxRotary", "PlainRotary", "swap_rotary"]
