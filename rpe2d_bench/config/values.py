"""Values that fields of an experiment file may have: numbers in range, printable names, no truth values as numbers.

Bounds are far from what anybody would write: they catch slips, and numbers that memory or float32 cannot hold, before
anything is computed.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetPydanticSchema
from pydantic_core import core_schema

from rpe2d_bench.config.options import short
from rpe2d_bench.config.printable import shown, unprintable
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Resolution


def square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def name(value: str) -> str:
    """A name is printed, drawn and written into tables and paths of several formats: one line of printable text."""
    if not value or value != value.strip() or len(value) > 100 or unprintable(value):
        raise ValueError(f"the name {shown(value)!r} must be 1 to 100 printable characters without spaces around them")
    return value


def _number_or(word: str, value: Any) -> Any:
    """The word or a number; what is neither is no number (NaN), which no range holds."""
    if value == word:
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def shift(value: Any) -> Any:
    """A number or the one word, complained about in one sentence."""
    number = _number_or("sqrt_tokens", value)
    if number != "sqrt_tokens" and not 0 < number <= 1e6:
        raise ValueError(f"shift: write sqrt_tokens or a number above 0 and up to 1,000,000, got {short(value)}")
    return number


def gpus(value: Any) -> Any:
    """The same of GPUs."""
    number = _number_or("auto", value)
    if number != "auto" and not 0 <= number <= 100_000:
        raise ValueError(f"gpus_per_trial: write auto or a number from 0 to 100,000, got {short(value)}")
    return number


def by_size(value: Any) -> Any:
    """Sizes as keys, 256 or 224x448, as they are printed."""
    if not isinstance(value, dict):
        return value
    try:
        return {str(Resolution.parse(str(size))): path for size, path in value.items()}
    except UserError as error:
        raise ValueError(f"statistics: {error}") from None


Side = Annotated[int, Field(gt=0, le=100_000)]  # pixels
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Guidance = Annotated[float, Field(ge=0, le=1000)]
Name = Annotated[str, AfterValidator(name)]  # of a model or a method
Crop = Annotated[float, Field(ge=-10, le=10)]  # log2 of a zoom, or a share of the frame
Decay = Annotated[float, Field(ge=0, lt=1)]
WrittenSize = Annotated[  # [height, width]; a single number is a square
    Resolution,
    GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(
            lambda sides: Resolution(*sides), handler(tuple[Side, Side])
        )
    ),
    BeforeValidator(square),
]
StatisticsPaths = Annotated[
    Annotated[str, Field(min_length=1)] | Annotated[dict[str, str], Field(min_length=1)], BeforeValidator(by_size)
]
Shift = Annotated[float | Literal["sqrt_tokens"], BeforeValidator(shift)]
Gpus = Annotated[float | Literal["auto"], BeforeValidator(gpus)]
