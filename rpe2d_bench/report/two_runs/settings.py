"""What was set differently in two runs, a line per thing that somebody changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.table import ABSENT

NAMED = ("models", "methods")  # entries by name: one that only one run has is one line
SCHEDULING = ("resources", "name")  # change no number


@dataclass(frozen=True)
class Change:
    """One setting that differs."""

    what: str
    first: str
    second: str


def changed(first: Results, second: Results) -> list[Change]:
    """Every setting of the two experiments that differs, then code, machine and package versions."""
    one, two = (results.experiment.model_dump(mode="json") for results in (first, second))
    asked = _differences(_settings(one, two), _settings(two, one))
    return asked + _differences(_run_context(first), _run_context(second))


def words(value: Any) -> str:
    """A setting on one line; what is not set is left out."""
    if value is None or value is False or value in ({}, [], [0.0, 0.0, 0.0]):  # the last: no crop conditioning
        return ABSENT
    if isinstance(value, dict):
        sentence = {key: words(item) for key, item in value.items()}
        parts = [f"{key}: {{{text}}}" if isinstance(value[key], dict) else f"{key}: {text}"
                 for key, text in sentence.items() if text != ABSENT]  # fmt: skip
        return ", ".join(parts) or ABSENT
    if isinstance(value, list | tuple):
        return ", ".join(words(item) for item in value)
    return str(value)


def _settings(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, str]:
    """Flat settings of one run, those of entries that the other lacks in one line."""
    out: dict[str, str] = {}
    for key, value in ours.items():
        if key in SCHEDULING:
            continue
        if key == "resolutions":
            out[key] = "; ".join(_pair(pair) for pair in value)
        elif key in NAMED and isinstance(value, dict):
            for name, entry in value.items():
                if name in theirs[key]:
                    out |= _flat(entry, f"{key}.{name}")
                else:
                    out[f"{key}.{name}"] = words(entry)
        else:
            out |= _flat(value, key)
    return out


def _pair(pair: dict[str, Any]) -> str:
    tests = ", ".join(_size(test) for test in pair["test"])
    return f"{_size(pair['train'])} px → {tests} px"


def _flat(value: Any, prefix: str) -> dict[str, str]:
    if isinstance(value, dict) and value:
        out: dict[str, str] = {}
        for key, item in value.items():
            out |= _flat(item, f"{prefix}.{key}")
        return out
    return {prefix: words(value)}


def _run_context(results: Results) -> dict[str, str]:
    made = results.newest.provenance
    return {
        "commit": (made.commit or "unknown")[:10] + (" with uncommitted changes" if made.dirty else ""),
        "python": made.python,
        "platform": made.platform,
        "device": made.device,
        **{f"package {name}": version for name, version in made.packages.items()},
    }


def _differences(first: dict[str, str], second: dict[str, str]) -> list[Change]:
    return [
        Change(key, first.get(key, ABSENT), second.get(key, ABSENT))
        for key in dict.fromkeys([*first, *second])
        if first.get(key, ABSENT) != second.get(key, ABSENT)
    ]


def _size(written: Any) -> str:
    """Of a resolution as JSON has it: 32, or [height, width]."""
    return size_label((written, written) if isinstance(written, int) else (int(written[0]), int(written[1])))
