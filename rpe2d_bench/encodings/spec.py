"""An encoding as an experiment names it: `{kind: axial_rope, theta: 100, positions: {kind: random, ...}}`, read once.

The class behind `kind` is its own schema: a rule's fields, an encoding's __init__. Parameters called width, head_width
and heads come from the model; those annotated with a kind of rule (RULES) are mappings with a kind of their own.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rpe2d_bench.config.options import named, parse_options, parse_value, reject_unknown
from rpe2d_bench.encodings.bias import LogitBias, NoBias
from rpe2d_bench.encodings.interface import Frequencies, LogitScale, PositionalEncoding, Positions
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS, Methods
from rpe2d_bench.errors import UserError

Written = Mapping[str, Any]
RULES: dict[type, Methods] = {
    Positions: POSITIONS,
    Frequencies: FREQUENCIES,
    LogitScale: LOGIT_SCALES,
    LogitBias: LOGIT_BIASES,
}
FROM_MODEL = ("width", "head_width", "heads")


@dataclass(frozen=True)
class EncodingSpec:
    """A checked encoding without a model: built for any width, spelt out for content keys, replaced in parts."""

    written: Written = field(compare=False)  # as the file has it
    cls: Callable[..., PositionalEncoding]
    options: Mapping[str, Any]  # what was written, by parameter: values, and rules as objects

    @classmethod
    def parse(cls, written: Written, place: str = "encoding") -> EncodingSpec:
        """Raises UserError for an unknown kind or option, a missing option or a wrong value."""
        encoding, _ = named(ENCODINGS, written, place)
        return _complete(encoding, written, {}, place)

    def replace(self, changes: Written, place: str = "encoding") -> EncodingSpec:
        """The encoding with some of its parts replaced, as a method does for sampling; only these are read."""
        kept = {name: value for name, value in self.options.items() if name not in changes}
        return _complete(self.cls, replaced(self.written, changes), kept, place) if changes else self

    def build(self, *, width: int, heads: int) -> PositionalEncoding:
        """The encoding for a model of that width and number of heads."""
        model = {"width": width, "head_width": width // heads, "heads": heads}
        return self.cls(**self.options, **{name: model[name] for name in schema(self.cls) if name in FROM_MODEL})

    @property
    def canonical(self) -> dict[str, Any]:
        """The mapping with every default written out but the absence of a bias: content keys do not see defaults.

        Mappings written before biases existed keep their keys.
        """
        complete: dict[str, Any] = {"kind": self.written["kind"]}
        for name, parameter in schema(self.cls).items():
            if name in FROM_MODEL:
                continue
            value = self.options.get(name, parameter.default)
            if isinstance(value, NoBias):
                continue
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                table = RULES[parameter.annotation]
                kind = next(kind for kind, rule in table.items() if rule is type(value))
                value = {"kind": kind, **dataclasses.asdict(value)}
            complete[name] = value
        return complete


def build(written: Written, *, width: int, heads: int) -> PositionalEncoding:
    """The encoding of a mapping, for a model of that width and number of heads. Raises UserError as `validate`."""
    return EncodingSpec.parse(written).build(width=width, heads=heads)


@contextmanager
def in_one_sentence(name: str) -> Iterator[None]:
    """Whatever a rule of another package raises, as a UserError that says where to look."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        raise UserError(
            f"{name} cannot be computed: {type(error).__name__}: {words}; `rpe2d-bench check` says what a rule lacks"
        ) from error


def validate(written: Written, where: str = "encoding") -> None:
    """Raises UserError for an unknown kind or option, a missing option or a wrong value; builds no model."""
    EncodingSpec.parse(written, where)


def replaced(trained: Written, changes: Written) -> dict[str, Any]:
    """The mapping of a trained encoding with some of its parts replaced, as a method does for sampling.

    A part given as a mapping replaces the whole part. The rotary base belongs to the weights, so a frequency rule that
    names no theta keeps the one that was trained, wherever the trained mapping wrote it.
    """
    merged = {**trained, **changes}
    old, new = trained.get("frequencies") or {}, changes.get("frequencies")
    if isinstance(new, Mapping) and "theta" in old and "theta" not in new and "theta" not in merged:
        merged["frequencies"] = {**new, "theta": old["theta"]}
    return merged


def _complete(
    cls: Callable[..., PositionalEncoding], written: Written, known: Mapping[str, Any], place: str
) -> EncodingSpec:
    """The spec of a mapping some of whose options are known already."""
    what, options = f"{place} {written['kind']!r}", {name: v for name, v in written.items() if name != "kind"}
    parameters = {name: p for name, p in schema(cls).items() if name not in FROM_MODEL}
    reject_unknown(options, list(parameters), what)
    values = dict(known)
    for name, p in parameters.items():
        if name in options and name not in known:
            values[name] = _value(p.annotation, options[name], f"{place}.{name}")
        elif name not in options and p.default is p.empty:
            raise UserError(f"{what} needs the option {name!r}")
    base, frequencies = values.get("theta"), options.get("frequencies") or {}
    if base is not None and frequencies.get("theta", base) != base:
        raise UserError(
            f"{place}.theta is {base:g} but {place}.frequencies.theta is {frequencies['theta']}; write theta once"
        )
    return EncodingSpec(written, cls, values)


def _value(annotation: Any, written: Any, place: str) -> Any:
    """The value of an option, or the rule (positions, frequencies, logit scale or bias) that it names."""
    if annotation not in RULES:
        return parse_value(annotation, written, place)
    cls, options = named(RULES[annotation], written, place)
    if not dataclasses.is_dataclass(cls):
        raise UserError(f"{place} {written['kind']!r}: a rule is a frozen dataclass, {cls!r} is not")
    return parse_options(cls, options, place, f"{place} {written['kind']!r}")


def schema(cls: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """An encoding's parameters with evaluated annotations, without self."""
    init = cls.__init__
    hints = typing.get_type_hints(init, include_extras=True)
    parameters = list(inspect.signature(init).parameters.values())[1:]
    return {p.name: p.replace(annotation=hints.get(p.name, Any)) for p in parameters}
