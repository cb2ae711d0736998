"""The reference of records as Markdown, from their types; run with the file to write."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from rpe2d_bench.config.experiment import Choices, Experiment, Range, Sampler
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record

HEAD = """# Records

Generated from the code by `python -m rpe2d_bench.reference.records_page docs/records.md`; a test keeps it current.

A result is a line of `records.jsonl`, in the store and beside every report: a JSON object in ASCII, with `sha256` over
its other members in canonical form (sorted, no spaces). Lines are appended, never edited; of lines with the same run,
stage, model, method, resolutions and seed the last counts. `rpe2d_bench.load_records(...)` gives them as a data frame.

What all results of one command share is [a configuration](#configuration), tens of kilobytes for an experiment of many
methods. It has lines of its own, whose `stage` is `configuration`: they hold its fields and, as `configuration`, its
name, and records name it there. Two lines hold the same, so that one damaged line costs nothing else.

In version 2 (November 2026) every record held the fields of its configuration itself.
Version 1 (before that) had one open mapping `details` instead of `training`, `measurement` and `sampling`.
It recorded no grid; that follows from the number of tokens and from the patch. Lines of both are read as if they had
been written today, and may stand in the same file.
"""
ELSEWHERE = {Experiment: "experiment_file.md", Sampler: "experiment_file.md#evaluatesampler",
             Range: "experiment_file.md#ranges-of-a-search"}  # fmt: skip
WORDS = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", type(None): "`null`", Any: "any"}


def page() -> str:
    """The whole page: a table for a record, then one for each of its parts."""
    return HEAD + "".join(_table(part) for part in dict.fromkeys(_parts(Record)))


def _parts(part: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield part
    for field in part.model_fields.values():
        for inner in _models(field.annotation):
            if inner not in ELSEWHERE:
                yield from _parts(inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _table(part: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {words(field.annotation)} | {' '.join((field.description or '').split())} |\n"
        for name, field in part.model_fields.items()
    ]
    text = " ".join((inspect.getdoc(part) or "").split())
    return f"\n## {heading(part)}\n\n{text}\n\n| field | value | meaning |\n| --- | --- | --- |\n{''.join(rows)}"


def heading(part: type[BaseModel]) -> str:
    """TrainingDetails -> Training details."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", part.__name__)


def words(annotation: Any) -> str:
    """The values of a field as people say them."""
    if annotation == Size:
        return "`[height, width]`"
    if annotation == Choices:
        return f"[range]({ELSEWHERE[Range]}) or list"
    if annotation in WORDS:
        return WORDS[annotation]
    inner = get_args(annotation)
    origin = get_origin(annotation)
    if origin in (types.UnionType, Union):
        return " or ".join(map(words, inner))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is dict:
        return f"mapping to {words(inner[1])}"
    if origin in (tuple, list):
        return f"list of {words(inner[0])}"
    if origin is Annotated:
        return words(inner[0])
    name = heading(annotation).lower()
    return f"[{name}]({ELSEWHERE.get(annotation, '#' + name.replace(' ', '-'))})"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
