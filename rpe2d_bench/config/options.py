"""The one way from `{kind: ..., option: value}` to checked objects; whatever is wrong is one sentence that says where.

A place is written with dots, from the part that is read: `encoding.frequencies.theta`. Pydantic is imported where a
value is checked, so that encodings import beside torch alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

from rpe2d_bench.errors import OptionError, UserError, hint, unknown

T = TypeVar("T")
Written = Mapping[str, Any]


def named(table: Mapping[str, T], written: Written, place: str, key: str = "kind") -> tuple[T, dict[str, Any]]:
    """The entry of a table that a mapping names with its key, and the mapping's options."""
    if not isinstance(written, Mapping) or not isinstance(written.get(key), str):
        raise UserError(
            f"{place} is a mapping with a {key}, one of {', '.join(sorted(table))}, for example "
            f"{{{key}: {next(iter(table))}}}; got {short(written)}"
        )
    try:
        entry = table[written[key]]
    except KeyError:
        raise unknown(f"{key} of {place}", written[key], table) from None
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    return entry, {name: value for name, value in written.items() if name != key}


def parse_options(kind: type[T], options: Written, place: str, what: str) -> T:
    """An instance of the dataclass whose fields are the options; `what` has them."""
    reject_unknown(options, [field.name for field in fields(kind) if field.init], what)  # type: ignore[arg-type]
    hints = get_type_hints(kind, include_extras=True)
    for name, value in options.items():
        require_sensible(hints[name], value, f"{place}.{name}")
    read: T = checked(kind, dict(options), place)
    return read


def reject_unknown(options: Iterable[str], known: list[str], what: str) -> None:
    """Raises UserError for the first option that is not known."""
    for name in options:
        if name not in known:
            instead = hint(str(name), known, "options") if known else "; it takes none"
            raise UserError(f"{what} has no option {name!r}{instead}")


def parse_value(annotation: Any, value: Any, place: str) -> Any:
    """A value as its annotation wants it."""
    require_sensible(annotation, value, place)
    return checked(annotation, value, place)


def checked(annotation: Any, value: Any, place: str) -> Any:
    """A value as pydantic makes it of what was written; OptionError for the first thing that is wrong."""
    try:
        from pydantic import TypeAdapter, ValidationError
    except ModuleNotFoundError:
        raise UserError(f"{place}: reading options needs pydantic; install it, or build the class itself") from None
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        parts = [*place.split("."), *(str(part) for part in problem["loc"])]
        text = " is missing" if problem["type"] == "missing" else f": {in_words(problem)}"
        raise OptionError(".".join(parts) + text, tuple(parts[1:])) from None


def in_words(finding: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a value, in the words of a file: lists and mappings, not tuples and patterns."""
    kind, given, limits = finding["type"], finding["input"], finding.get("ctx", {})
    if given is None:
        return "has no value; write one"
    if kind in ("tuple_type", "list_type"):
        size = re.fullmatch(r"(\d+) *[xX×] *(\d+)", str(given))
        return f"write a list, such as [{', '.join(size.groups()) if size else given}]; got {short(given)}"
    if kind in ("dict_type", "model_type", "dataclass_type"):
        return f"write a mapping, such as {{key: value}}; got {short(given)}"
    if kind in ("too_short", "too_long"):
        bound = "min_length" if kind == "too_short" else "max_length"
        words = f"at {'least' if kind == 'too_short' else 'most'} {limits[bound]}"
        return f"{words} {'entry' if limits[bound] == 1 else 'entries'} here, got {short(given)}"
    if kind == "string_type":
        return f"text belongs here, got {short(given)}; write it in quotes"
    if kind == "string_pattern_mismatch":
        return f"write letters without accents, digits, _, . and -, a letter or a digit first; got {short(given)}"
    return f"{finding['msg'][0].lower()}{finding['msg'][1:]}, got {short(given)}"


def require_sensible(annotation: Any, value: Any, place: str) -> None:
    """Raises OptionError for a truth value where numbers belong, and for a number that is not finite."""
    if holds_bool(value) and not allows_bool(annotation):
        raise OptionError(f"{place}: true and false are no value here", tuple(place.split(".")[1:]))
    if holds_infinite(value):
        raise OptionError(f"{place}: must be finite, got {short(value)}", tuple(place.split(".")[1:]))


def allows_bool(annotation: Any) -> bool:
    """Whether a truth value may stand somewhere in a field of this type."""
    return annotation in (bool, Any) or any(allows_bool(part) for part in get_args(annotation))


def holds_bool(value: Any) -> bool:
    """Whether a value is a truth value, or a list with one."""
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(holds_bool, value)))


def holds_infinite(value: Any) -> bool:
    """Whether a value is infinite or no number, or a list with one that is."""
    if isinstance(value, list | tuple):
        return any(map(holds_infinite, value))
    return isinstance(value, float) and not math.isfinite(value)


def short(value: Any) -> str:
    """A value for an error, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
