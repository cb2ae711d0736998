"""Ranges of the options of methods, for the annotations of their fields: outside them a number means nothing.

They are checked where an experiment file is read and by `show --set`, before any tensor exists. Pydantic does that; it
is not imported here, so that encodings import beside torch alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from rpe2d_bench.errors import UserError


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number, for its annotation."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: float | None = None

    def __get_pydantic_core_schema__(self, kind: Any, handler: Any) -> Any:
        """Pydantic's schema of the number, with these bounds."""
        return handler(kind) | {name: bound for name, bound in asdict(self).items() if bound is not None}


Theta = Annotated[float, Bounds(gt=1, le=1e9)]  # a rotary base of 1 has one frequency, one below 1 rising ones
Turns = Annotated[float, Bounds(gt=0, le=1e6)]  # over the train grid
Exponent = Annotated[float, Bounds(ge=0, le=10)]
Factor = Annotated[float, Bounds(gt=0, le=1000)]  # on logits, or on a side
Stretch = Annotated[float, Bounds(ge=1, le=1000)]
Share = Annotated[float, Bounds(ge=0, le=1)]
Tokens = Annotated[int, Bounds(ge=1, le=65_536)]  # along an axis
Seed = Annotated[int, Bounds(ge=0, lt=2**63)]


def require_order(method: str, **bounds: float) -> None:
    """Raises UserError unless the bounds, in the order they are given, do not rise."""
    names, values = list(bounds), list(bounds.values())
    for name, value, lower_name, lower in zip(names, values, names[1:], values[1:], strict=False):
        if not value >= lower:
            raise UserError(f"{method}: {name} {value:g} is below {lower_name} {lower:g}; exchange them")
