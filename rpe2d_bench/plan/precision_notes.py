"""What was decided about arithmetics: in words for a plan and a report, and written into the experiment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Literal

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.stages import SampleStage, TrainStage

Precision = Literal["float32", "bf16"]
Work = Literal["training", "sampling", "autoencoder"]
WORDS = {"float32": "float32", "bf16": "bfloat16"}
COLUMNS = 64  # of a line of a note: a terminal's 80 without the plan's margin
GAIN = 1.2  # times as fast, from which bfloat16 is worth its rounding


@dataclass(frozen=True)
class Choice:
    """What some stages compute in, and why."""

    work: Work
    preset: str
    precision: str
    ratio: float | None  # times as fast as float32 bfloat16 is here; None where nothing was measured
    reason: Literal["measured", "written", "store", "assumed"]


def notes(choices: Iterable[Choice]) -> list[str]:
    """What each kind of work computes in, and why, in lines of at most 64 columns."""
    groups: dict[tuple[str, str, str], list[Choice]] = {}
    for choice in choices:
        groups.setdefault((choice.work, choice.precision, choice.reason), []).append(choice)
    lines = []
    for (work, precision, reason), members in groups.items():
        alone = sum(key[0] == work for key in groups) == 1
        label = work if alone else f"{work} {members[0].preset}{' and others' if len(_presets(members)) > 1 else ''}"
        ratios = [choice.ratio for choice in members if choice.ratio is not None]
        lines += wrap(f"{label}: {_reason(precision, reason, ratios)}", COLUMNS, subsequent_indent="  ")
    if os.environ.get("RAY_ADDRESS") and any(choice.reason == "measured" for choice in choices):
        lines.append("measured on this machine, which decides for the whole cluster")
    return lines


def warnings(choices: Iterable[Choice]) -> list[str]:
    """A sentence for bfloat16 that the file asks for where it is slow; at most 64 columns."""
    slow = [c for c in choices if c.reason == "written" and c.precision == "bf16" and c.ratio and c.ratio < 1]
    worst: dict[str, float] = {}
    for choice in slow:
        worst[choice.work] = min(worst.get(choice.work, 1.0), choice.ratio or 1.0)
    return [f"{work}: bfloat16 is {_times(1 / ratio)} times as slow as float32 here" for work, ratio in worst.items()]


def _reason(precision: str, reason: str, ratios: list[float]) -> str:
    word = WORDS[precision]
    if reason == "written":
        return f"{word}, as written"
    if reason == "store":
        return f"{word}, as in the store"
    if reason == "assumed":
        return f"{word}, not measured: the device is not here"
    fast, slow = min(ratios), max(ratios)
    if precision == "bf16":
        return f"{word}, {_range(fast, slow)} times as fast as float32 here"
    if slow < 1 / GAIN:
        return f"{word}; bfloat16 is {_range(1 / slow, 1 / fast)} times as slow here"
    return f"{word}; bfloat16 is only {_range(fast, slow)} times as fast here"


def _range(low: float, high: float) -> str:
    return _times(low) if _times(low) == _times(high) else f"{_times(low)} to {_times(high)}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{min(ratio, 9999):.0f}"


def _presets(choices: list[Choice]) -> set[str]:
    return {choice.preset for choice in choices}


def as_before_auto(experiment: Experiment) -> Experiment:
    """float32 as the default that it was once, so that runs keep the names that they had then."""
    train, sampler = experiment.train, experiment.evaluate.sampler
    if train.precision == "float32":
        train = train.model_copy(update={"precision": "auto"})
    if sampler.precision == "float32":
        sampler = sampler.model_copy(update={"precision": "auto"})
    autoencoder = experiment.autoencoder
    if autoencoder is not None and autoencoder.get("precision") == "float32":
        autoencoder = {name: value for name, value in autoencoder.items() if name != "precision"}
    evaluate = experiment.evaluate.model_copy(update={"sampler": sampler})
    return experiment.model_copy(update={"train": train, "evaluate": evaluate, "autoencoder": autoencoder})


def decided(
    experiment: Experiment, trained: Iterable[tuple[str, TrainStage]], sampled: Iterable[tuple[str, SampleStage]]
) -> Experiment:
    """The experiment with what its stages compute in instead of `auto`: by entries of models, and of methods.

    An entry that computes otherwise than most says so; where stages of one entry differ (taken from a store), their
    records do.
    """
    update: dict[str, Any] = {}
    models = _by_entry(
        (name, stage.recipe.precision) for name, stage in trained if experiment.train_of(name).precision == "auto"
    )
    methods = _by_entry(
        (name, stage.sampler.precision) for name, stage in sampled if experiment.sampler_of(name).precision == "auto"
    )
    if experiment.train.precision == "auto":
        common = _commonest(models)
        update["train"] = experiment.train.model_copy(update={"precision": common})
    else:
        common = experiment.train.precision
    update["models"] = {
        name: _entry(entry, "train", models.get(name, common), common) for name, entry in experiment.models.items()
    }
    sampler = experiment.evaluate.sampler
    usual = _commonest(methods) if sampler.precision == "auto" else sampler.precision
    sampler = sampler.model_copy(update={"precision": usual})
    update["evaluate"] = experiment.evaluate.model_copy(update={"sampler": sampler})
    update["methods"] = {
        name: _entry(entry, "sampler", methods.get(name, usual), usual) for name, entry in experiment.methods.items()
    }
    return experiment.model_copy(update=update)


def _by_entry(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The commonest value of each entry."""
    counts: dict[str, Counter[str]] = {}
    for name, precision in found:
        counts.setdefault(name, Counter())[precision] += 1
    return {name: count.most_common(1)[0][0] for name, count in counts.items()}


def _commonest(entries: dict[str, str]) -> str:
    return Counter(entries.values()).most_common(1)[0][0] if entries else "float32"


def _entry(entry: Any, part: str, precision: str, common: str) -> Any:
    own = getattr(entry, part)
    if own.get("precision", "auto") != "auto" or (precision == common and "precision" not in own):
        return entry
    return entry.model_copy(update={part: {**own, "precision": precision}})
