"""Somebody else's models with our encodings; one file per architecture."""

from rpe2d_bench.encodings.adapters.flux import swap_rotary

__all__ = ["swap_rotary"]
