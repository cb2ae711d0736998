"""What a search tries and how: an entry's options, the entry with other values, and the experiment of one trial.

A path is relative to its entry: train.lr, encoding.positions.draw, frequencies.alpha, sampler.shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from rpe2d_bench.config.experiment import (
    Choices,
    Experiment,
    MethodEntry,
    Model,
    ModelEntry,
    Pair,
    Range,
    Report,
    Sampler,
    Train,
)
from rpe2d_bench.config.validation_errors import explain
from rpe2d_bench.errors import UserError

Section = Literal["models", "methods"]
Space = dict[str, Choices]
Values = dict[str, Any]  # path -> value
SPLIT = "validation"
PLAIN = "(the model as trained)"  # judges a model that no method uses
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


def judge(experiment: Experiment, model: str) -> str:
    """The method by which a model is judged: the first in the file that uses it."""
    return next((name for name, method in experiment.methods.items() if method.model == model), PLAIN)


def reduced(experiment: Experiment, section: Section, name: str) -> Experiment:
    """The experiment of one trial, at the first pair's train resolution."""
    search = experiment.search
    assert search is not None
    method = name if section == "methods" else judge(experiment, name)
    model = experiment.methods[name].model if section == "methods" else name
    main = experiment.report.main_metric
    evaluate = {"split": SPLIT, "num_samples": search.num_samples, "metrics": (main,)}
    return experiment.model_copy(
        update={
            "search": None,
            "seeds": (search.seed,),
            "models": {link: experiment.models[link] for link in chain(experiment, model)},
            "methods": {method: experiment.methods.get(method) or MethodEntry(model=model)},
            "resolutions": (Pair(train=experiment.resolutions[0].train, test=search.resolutions),),
            "evaluate": experiment.evaluate.model_copy(update=evaluate),
            "report": Report(main_metric=main),
        }
    )


def chain(experiment: Experiment, model: str) -> list[str]:
    """A model and those that its training starts from, as far as they exist."""
    found: list[str] = []
    while model in experiment.models and model not in found:
        found.append(model)
        init = experiment.models[model].init
        model = init.model if init else model
    return found


def metric_of(experiment: Experiment) -> tuple[str, bool]:
    """The recorded name of the main metric, and whether higher is better. Raises UserError where neither is."""
    from rpe2d_bench.metrics import METRICS, validate, value_name

    evaluate = experiment.evaluate
    (metric,) = validate([experiment.report.main_metric], evaluate.features, evaluate.judge, model=True)
    better = METRICS[metric].better
    if better == "neither":
        raise UserError(f"{metric!r} is neither better high nor better low; choose another report.main_metric")
    return value_name(metric, evaluate.features, evaluate.judge), better == "higher"
