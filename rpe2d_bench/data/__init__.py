"""Data sets by name, and their options as written in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rpe2d_bench.data.glyphs import GlyphOptions
from rpe2d_bench.data.interface import SPLITS, Dataset, DatasetOptions, Resolution, Split
from rpe2d_bench.errors import UserError, unknown

DATASETS: dict[str, type[DatasetOptions]] = {
    "glyphs": GlyphOptions,
}

__all__ = ["DATASETS", "SPLITS", "Dataset", "DatasetOptions", "Resolution", "Split", "build", "validate"]


def validate(spec: Mapping[str, Any]) -> DatasetOptions:
    """The checked options of `data: {name: ..., ...}`; UserError names what is wrong and what is close to it."""
    if "name" not in spec:
        raise UserError(f"data needs a name, one of: {', '.join(sorted(DATASETS))}")
    if spec["name"] not in DATASETS:
        raise unknown("data set", str(spec["name"]), DATASETS)
    kind = DATASETS[spec["name"]]
    options = {key: value for key, value in spec.items() if key != "name"}
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in options:
        if key not in known:
            raise unknown(f"option of data set {spec['name']}", str(key), known)
    try:
        checked = TypeAdapter(kind).validate_python(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("data", *first["loc"]))
        raise UserError(f"{where}: {first['msg']}, not {first['input']!r}") from None
    checked.check()
    return checked


def build(spec: Mapping[str, Any]) -> Dataset:
    """The data set that `data: {name: ..., ...}` describes."""
    return validate(spec).build()
