"""Somebody else's models with our encodings; one file per family of architectures, `families.py` lists them."""

from rpe2d_bench.encodings.adapters.families import FAMILIES, Family, family_of, put, swap_rotary
from rpe2d_bench.encodings.adapters.flux import FluxRotary, PlainRotary
from rpe2d_bench.encodings.adapters.rules import Rules

__all__ = ["FAMILIES", "Family", "FluxRotary", "PlainRotary", "Rules", "family_of", "put", "swap_rotary"]
