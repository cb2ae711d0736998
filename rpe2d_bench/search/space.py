"""The options that are tried for an entry: which they are, what the file wrote for them, and the entry with others.

A path is relative to its entry: train.lr, encoding.positions.draw, frequencies.alpha, sampler.shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from rpe2d_bench.config.experiment import Choices, Experiment, MethodEntry, Model, ModelEntry, Range, Sampler, Train
from rpe2d_bench.errors import UserError

Section = Literal["models", "methods"]
Space = dict[str, Choices]
Values = dict[str, Any]  # path -> value
RULES = ("positions", "frequencies", "logit_scale")  # parts of an encoding that a method may replace
PARTS = {part.__name__: part for part in (ModelEntry, MethodEntry, Train, Model, Sampler)}


def space_of(experiment: Experiment, section: Section, name: str) -> Space:
    """What is tried for an entry: the options of '*' and its own."""
    spaces = getattr(experiment.search, section)
    return {**spaces.get("*", {}), **spaces.get(name, {})}


def written(experiment: Experiment, section: Section, name: str) -> Values:
    """The entry's own values of the options that are tried, defaults included; None where there is none."""
    complete = _complete(experiment, section, name)
    found = {}
    for path in space_of(experiment, section, name):
        value: Any = complete
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[path] = to_jsonable_python(value)
    return found


def applied(experiment: Experiment, section: Section, name: str, values: Values) -> Experiment:
    """The experiment with other values in one entry. Raises UserError where there is no such option or value."""
    from rpe2d_bench.resolve.load import explain

    entries = getattr(experiment, section)
    changed = entries[name].model_dump()
    filled = _filled(experiment, section, name)
    for path, value in values.items():
        _put(changed, filled, path, value)
    try:
        entry = type(entries[name]).model_validate(changed)
        made = experiment.model_copy(update={section: {**entries, name: entry}})
        if section == "models":
            made.train_of(name), made.model_of(name)
        else:
            made.sampler_of(name)
    except ValidationError as error:
        raise UserError(explain(error, PARTS[error.title])[1]) from None
    return made


def ends(choices: Choices) -> tuple[Any, ...]:
    """The values that stand for all when a space is checked."""
    if not isinstance(choices, Range):
        return choices
    return (int(choices.low), int(choices.high)) if choices.integer else (choices.low, choices.high)


def _complete(experiment: Experiment, section: Section, name: str) -> dict[str, Any]:
    """An entry with everything written out that the file left to defaults."""
    from rpe2d_bench.data import crops
    from rpe2d_bench.encodings import EncodingSpec

    entry = getattr(experiment, section)[name]
    complete: dict[str, Any] = entry.model_dump()
    if section == "models":
        encoding = EncodingSpec.parse(entry.encoding).canonical
        if encoding.get("theta", 0) is None:  # left to the frequencies
            encoding["theta"] = encoding["frequencies"].get("theta")
        return complete | {
            "encoding": encoding,
            "crops": crops.canonical(crops.build_crops(entry.crops)),
            "train": experiment.train_of(name).model_dump(),
            "model": experiment.model_of(name).model_dump(),
        }
    realised = EncodingSpec.parse(experiment.models[entry.model].encoding).replace(entry.replacements).canonical
    rules = {rule: realised[rule] for rule in RULES if rule in realised}
    return complete | rules | {"sampler": experiment.sampler_of(name).model_dump()}


def _filled(experiment: Experiment, section: Section, name: str) -> dict[str, Any]:
    """Parts that an entry leaves to its kind or to its model, as an option below them needs them written."""
    from rpe2d_bench.encodings import replaced

    complete = _complete(experiment, section, name)
    if section == "models":
        rules = {rule: {"kind": complete["encoding"][rule]["kind"]} for rule in RULES if rule in complete["encoding"]}
        return {"encoding": rules}
    entry = experiment.methods[name]
    encoding = replaced(experiment.models[entry.model].encoding, entry.replacements)
    return {rule: dict(encoding.get(rule) or {"kind": complete[rule]["kind"]}) for rule in RULES if rule in complete}


def _put(entry: dict[str, Any], filled: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    target: Any = entry
    for part in parents:
        filled = filled.get(part, {})
        if target.get(part) is None:
            target[part] = dict(filled)
        target = target[part]
        if not isinstance(target, dict):
            raise UserError(f"there is no option {path!r}: {part} is {target!r}")
    target[last] = value
