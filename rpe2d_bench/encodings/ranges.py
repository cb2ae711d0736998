"""Ranges of the options of methods, for the annotations of their fields: outside them a number means nothing.

They are checked where an experiment file is read and by `show --set`, before any tensor exists.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rpe2d_bench.errors import UserError

Theta = Annotated[float, Field(gt=1, le=1e9)]  # a rotary base of 1 has one frequency, one below 1 rising ones
Turns = Annotated[float, Field(gt=0, le=1e6)]  # over the train grid
Exponent = Annotated[float, Field(ge=0, le=10)]
Factor = Annotated[float, Field(gt=0, le=1000)]  # on logits, or on a side
Stretch = Annotated[float, Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=65_536)]  # along an axis
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def require_order(method: str, **bounds: float) -> None:
    """Raises UserError unless the bounds, in the order they are given, do not rise."""
    names, values = list(bounds), list(bounds.values())
    for name, value, lower_name, lower in zip(names, values, names[1:], values[1:], strict=False):
        if not value >= lower:
            raise UserError(f"{method}: {name} {value:g} is below {lower_name} {lower:g}; exchange them")
