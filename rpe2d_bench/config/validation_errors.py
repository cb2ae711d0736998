"""What pydantic finds wrong with a file, as a place and one sentence."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rpe2d_bench.config.options import in_words
from rpe2d_bench.errors import hint

Place = tuple[str | int, ...]


def explain(error: ValidationError, model: type[BaseModel], at: Place = ()) -> tuple[Place, str]:
    """Place and one sentence for the first of pydantic's findings; at: where in the file the model stands."""
    # An unknown key explains a missing one: name it first.
    first = min(error.errors(), key=lambda finding: finding["type"] != "extra_forbidden")
    loc = tuple(part for part in first["loc"] if not (isinstance(part, str) and "[" in part))
    name = ".".join(str(part) for part in (*at, *loc))
    if first["type"] == "extra_forbidden":
        key = str(loc[-1])
        return (*at, *loc), f"unknown key {key!r}{hint(key, _fields_at(model, loc[:-1]), 'known keys')}"
    if first["type"] == "missing":
        return (*at, *loc), f"{name} is missing; add it"
    if first["type"] == "value_error":
        sentence = first["msg"].removeprefix("Value error, ")
        field = sentence.partition(":")[0]
        if loc and field == loc[-1]:
            return (*at, *loc), name + sentence.removeprefix(field)
        return (*at, *loc), f"{name}.{sentence}" if name and field in _fields_at(model, loc) else sentence
    return (*at, *loc), f"{name}: {in_words(first)}"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Schemas that an annotation names, however deep: in a union, a tuple or behind Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Keys that the schema knows at a place."""
    for part in loc:
        if isinstance(part, int) or part not in model.model_fields:
            continue  # an index, or a name that the user chose (an entry of models or methods)
        found = _models_in(model.model_fields[part].annotation)
        model = found[0] if found else model
    return list(model.model_fields)
