"""How values were chosen before the comparison, for those who ask whether a baseline was left untuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, size_label
from rpe2d_bench.config.experiment import Choices, Range
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import number, plain
from rpe2d_bench.storage.record_parts import SearchedEntry, SearchTrial

HEADS = ("entry", "tried", "trials", "as written", "its score", "chosen", "its score")
TRIAL_HEADS = ("entry", "trial", "values", "score", "remark")


def build(results: Results, store: Path) -> Content:
    """Empty where the experiment had no search."""
    search = results.newest.config.search
    if not search:
        return Content("How values were chosen", ())
    metric = results.main_metric
    shown = metric if metric is not None and metric.key == search.metric else None
    searched = [entry for entry in search.entries if entry.space]
    sizes = ", ".join(map(size_label, search.resolutions))
    algorithm = {"random": "random draws", "optuna": "Optuna's sampler"}.get(search.algorithm, search.algorithm)
    stopped = " Trainings whose loss fell behind were stopped early (ASHA)." if search.scheduler == "asha" else ""
    words = (
        f"Before the comparison, every model and then every method with options to try got {search.trials}"
        f" trials ({algorithm}, seed {search.seed}), the first of them as it is written in the file. Score: mean of"
        f" {shown.heading if shown else search.metric} over {sizes} px, on {search.num_samples} images of the"
        f" {search.split} split each, which no table of this report uses; the images started from other noise than"
        f" those of the comparison.{stopped} A model is scored with the first method of the file that uses it."
    )
    rows = [_row(entry, shown) for entry in search.entries]
    trials = [row for entry in searched for row in _trials(entry, shown)]
    return Content(f"How values were chosen: {search.trials} trials for each of {len(searched)} entries", (
        Text(words),
        plain("search", "What was tried and chosen", HEADS, rows),
        Content("Every trial", (plain("search_trials", "Every trial", TRIAL_HEADS, trials),)),
    ))  # fmt: skip


def _row(entry: SearchedEntry, metric: Quantity | None) -> tuple[str, ...]:
    name = _name(entry)
    if not entry.space:
        return (name, "0 options", "0", "–", "–", "–", "–")
    trials, default, chosen = entry.trials, entry.default, entry.chosen
    best = next((t.objective for t in trials if t.values == chosen and t.objective is not None), None)
    kept = "as written" if chosen == default else _values(chosen)
    judged = f" (judged by {entry.judged_by})" if entry.section == "models" else ""
    return (
        name,
        "; ".join(f"{path}: {_space(space)}" for path, space in entry.space.items()) + judged,
        _count(trials),
        _values(default),
        _score(trials[0].objective, metric),
        kept,
        _score(best, metric),
    )


def _name(entry: SearchedEntry) -> str:
    return f"{entry.section.removesuffix('s')} {entry.entry}"


def _count(trials: tuple[SearchTrial, ...]) -> str:
    """'6 (1 failed, 5 distinct)'."""
    found = [f"{n} {status}" for status in ("failed", "stopped") if (n := sum(t.status == status for t in trials))]
    distinct = len({repr(trial.values) for trial in trials})
    found += [f"{distinct} distinct"] if distinct < len(trials) else []
    return f"{len(trials)}" + (f" ({', '.join(found)})" if found else "")


def _trials(entry: SearchedEntry, metric: Quantity | None) -> list[tuple[str, ...]]:
    return [
        (
            _name(entry),
            str(count),
            _values(trial.values),
            _score(trial.objective, metric),
            trial.error or ("" if trial.status == "ok" else trial.status),
        )
        for count, trial in enumerate(entry.trials, start=1)
    ]


def _space(space: Choices) -> str:
    if not isinstance(space, Range):
        return " / ".join(map(_value, space))
    marks = [word for word in ("log", "integer") if getattr(space, word)]
    return f"{space.low:g} to {space.high:g}" + (f" ({', '.join(marks)})" if marks else "")


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{path} {_value(value)}" for path, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_value(item)}" for key, item in value.items())
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _score(objective: float | None, metric: Quantity | None) -> str:
    return "–" if objective is None else number(objective * (metric.factor if metric else 1.0))
