"""From a YAML mapping to an encoding, and every complaint about the mapping by name.

An encoding is written `{kind: axial_rope, theta: 100, positions: {kind: random, max_grid: [16, 16]}, ...}`. The class
behind `kind` is its own schema: a rule's fields, an encoding's __init__. Parameters called width, head_width and heads
come from the model; those annotated with a kind of rule (RULES) are mappings with a kind of their own.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rpe2d_bench.config.values import allows_bool, holds_bool, holds_infinite, short
from rpe2d_bench.encodings.bias import LogitBias
from rpe2d_bench.encodings.interface import Frequencies, LogitScale, PositionalEncoding, Positions
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS, Methods
from rpe2d_bench.errors import OptionError, UserError, suggestion

Spec = Mapping[str, Any]
RULES: dict[type, Methods] = {
    Positions: POSITIONS,
    Frequencies: FREQUENCIES,
    LogitScale: LOGIT_SCALES,
    LogitBias: LOGIT_BIASES,
}
FROM_MODEL = ("width", "head_width", "heads")


def build(spec: Spec, *, width: int, heads: int) -> PositionalEncoding:
    """The encoding of a mapping, for a model of that width and number of heads. Raises UserError as `validate`."""
    cls, options = resolve(spec)
    model = {"width": width, "head_width": width // heads, "heads": heads}
    encoding: PositionalEncoding = cls(**options, **{name: model[name] for name in schema(cls) if name in FROM_MODEL})
    return encoding


def validate(spec: Spec, where: str = "encoding") -> None:
    """Raises UserError for an unknown kind or option, a missing option or a wrong value; builds no model."""
    resolve(spec, where)


def replaced(trained: Spec, changes: Spec) -> dict[str, Any]:
    """The spec of a trained encoding with some of its parts replaced, as a method does for sampling.

    A part given as a mapping replaces the whole part. The rotary base belongs to the weights, so a frequency rule that
    names no theta keeps the one that was trained, wherever the trained spec wrote it.
    """
    merged = {**trained, **changes}
    old, new = trained.get("frequencies") or {}, changes.get("frequencies")
    if isinstance(new, Mapping) and "theta" in old and "theta" not in new and "theta" not in merged:
        merged["frequencies"] = {**new, "theta": old["theta"]}
    return merged


def resolve(spec: Spec, where: str = "encoding") -> tuple[Callable[..., Any], dict[str, Any]]:
    """The class a spec names and its options, checked and with every rule built."""
    cls, options = named(ENCODINGS, spec, where)
    parameters = schema(cls)
    rules = {name: RULES[p.annotation] for name, p in parameters.items() if p.annotation in RULES}
    plain = {name: p for name, p in parameters.items() if name not in rules and name not in FROM_MODEL}
    reject_unknown(options, [*rules, *plain], f"{where} {spec['kind']!r}")
    values = {name: rule(rules[name], options[name], f"{where}.{name}") for name in options if name in rules}
    for name, p in plain.items():
        if name in options:
            require_sensible(p.annotation, options[name], f"{where}.{name}")
            values[name] = checked(TypeAdapter(p.annotation), options[name], f"{where}.{name}")
        elif p.default is p.empty:
            raise UserError(f"{where} {spec['kind']!r} needs the option {name!r}")
    base, frequencies = values.get("theta"), options.get("frequencies") or {}
    if base is not None and frequencies.get("theta", base) != base:
        raise UserError(
            f"{where}.theta is {base:g} but {where}.frequencies.theta is {frequencies['theta']}; write theta once"
        )
    return cls, values


def rule(table: Methods, spec: Spec, where: str) -> Any:
    """One rule (positions, frequencies or logit scale) from its mapping."""
    cls, options = named(table, spec, where)
    if not dataclasses.is_dataclass(cls):
        raise UserError(f"{where} {spec['kind']!r}: a rule is a frozen dataclass, {cls!r} is not")
    reject_unknown(options, [f.name for f in dataclasses.fields(cls) if f.init], f"{where} {spec['kind']!r}")
    hints = typing.get_type_hints(cls, include_extras=True)
    for name, value in options.items():
        require_sensible(hints[name], value, f"{where}.{name}")
    return checked(TypeAdapter(cls), options, where)


def named(table: Methods, spec: Spec, where: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    if not isinstance(spec, Mapping) or not isinstance(spec.get("kind"), str):
        raise UserError(f"{where} is a mapping with a kind, for example {{kind: {next(iter(table))}}}; got {spec!r}")
    try:
        cls = table[spec["kind"]]
    except UserError as e:
        raise UserError(f"{where}: {e}") from None
    return cls, {name: value for name, value in spec.items() if name != "kind"}


def reject_unknown(options: Spec, allowed: list[str], where: str) -> None:
    for name in options:
        if name not in allowed:
            hint = suggestion(name, allowed) or (f"; options: {', '.join(allowed)}" if allowed else "; it takes none")
            raise UserError(f"{where} has no option {name!r}{hint}")


def checked(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as e:
        problem = e.errors()[0]
        parts = [*where.split("."), *(str(part) for part in problem["loc"])]
        message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {short(problem['input'])}"
        text = " is missing" if problem["type"] == "missing" else f": {message}"
        raise OptionError(".".join(parts) + text, tuple(parts[1:])) from None


def require_sensible(annotation: Any, value: Any, where: str) -> None:
    """Raises OptionError for a truth value where numbers belong, and for a number that is not finite."""
    if holds_bool(value) and not allows_bool(annotation):
        raise OptionError(f"{where}: true and false are no value here", tuple(where.split(".")[1:]))
    if holds_infinite(value):
        raise OptionError(f"{where}: must be finite, got {short(value)}", tuple(where.split(".")[1:]))


def schema(cls: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """An encoding's parameters with evaluated annotations, without self."""
    init = cls.__init__
    hints = typing.get_type_hints(init, include_extras=True)
    parameters = list(inspect.signature(init).parameters.values())[1:]
    return {p.name: p.replace(annotation=hints.get(p.name, Any)) for p in parameters}
