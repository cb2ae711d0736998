"""Options from YAML to a frozen dataclass: unknown names, wrong types and missing values are one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rpe2d_bench.errors import UserError, unknown

T = TypeVar("T")


def parse_options(kind: type[T], options: Mapping[str, Any], place: str, what: str) -> T:
    """An instance of the dataclass; UserError names the option as place.option and what it belongs to."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in options:
        if key not in known:
            raise unknown(f"option of {what}", str(key), known)
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (place, *first["loc"]))
        if first["type"] == "missing":
            raise UserError(f"{where} is required by {what}") from None
        raise UserError(f"{where}: {first['msg']}, not {first['input']!r}") from None
