"""Options from YAML to a frozen dataclass: unknown names, wrong types and missing values are one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from rpe2d_bench.config.values import allows_bool, holds_bool, holds_infinite, short
from rpe2d_bench.errors import OptionError, UserError, unknown

T = TypeVar("T")


def parse_options(kind: type[T], options: Mapping[str, Any], place: str, what: str) -> T:
    """An instance of the dataclass; UserError names the option as place.option and what it belongs to."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in options:
        if key not in known:
            raise unknown(f"option of {what}", str(key), known)
    hints = get_type_hints(kind)
    for key, value in options.items():
        if holds_infinite(value) or (holds_bool(value) and not allows_bool(hints[key])):
            wanted = "must be finite" if holds_infinite(value) else "true and false are no value here"
            raise OptionError(f"{place}.{key}: {wanted}, not {short(value)}", (key,))
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (place, *first["loc"]))
        if first["type"] == "missing":
            raise UserError(f"{where} is required by {what}") from None
        place_below = tuple(str(part) for part in first["loc"])
        raise OptionError(f"{where}: {first['msg']}, not {short(first['input'])}", place_below) from None
