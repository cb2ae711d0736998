"""The one complete spelling of an encoding's mapping, so that writing a default changes no content address."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rpe2d_bench.encodings.bias import NoBias
from rpe2d_bench.encodings.spec import FROM_MODEL, RULES, resolve, schema


def canonical(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with every default written out but the absence of a bias. Raises UserError as `validate`.

    Mappings written before biases existed keep their address.
    """
    cls, given = resolve(spec)
    complete: dict[str, Any] = {"kind": spec["kind"]}
    for name, parameter in schema(cls).items():
        if name in FROM_MODEL:
            continue
        value = given.get(name, parameter.default)
        if isinstance(value, NoBias):
            continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            table = RULES[parameter.annotation]
            kind = next(kind for kind, rule in table.items() if rule is type(value))
            value = {"kind": kind, **dataclasses.asdict(value)}
        complete[name] = value
    return complete
