"""What each method consists of: a trained model, and what replaces parts of its encoding or sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.config.experiment import ModelEntry
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import plain

HEAD = (
    "method",
    "trained model",
    "crops in training",
    "positions",
    "frequencies",
    "logit scale",
    "bias",
    "own sampler",
)


def build(results: Results, store: Path) -> Content:
    """A row per method."""
    rows = [(name, *_parts(results, name)) for name in results.methods]
    return Content("Methods", (
        Text("A method is a trained model and what replaces parts of its encoding or sampler: where the tokens are"
             " (positions), how fast each channel turns (frequencies), how sharp attention is (logit scale), what a"
             " distance costs (bias), and the sampler. A dash means: as in the plain model."),
        plain("methods", "What each method consists of", HEAD, rows, methods=results.methods),
    ), printed=True)  # fmt: skip


def _parts(results: Results, method: str) -> tuple[str, ...]:
    """As HEAD: the model with its crops, and what makes a method."""
    spec = results.methods[method]
    model = results.experiment.models.get(spec.model) or ModelEntry(encoding={})
    encoding = {**model.encoding, **spec.replacements}
    usual = results.experiment.evaluate.sampler.model_dump(mode="json")
    parts = (_words(encoding.get(name)) for name in ("positions", "frequencies", "logit_scale", "bias"))
    own = {k: v for k, v in spec.sampler.items() if v is not None and usual.get(k) != v}
    shown = [] if not own else [_words(own)]
    if spec.upscale:
        shown.append("generated at the train resolution, then enlarged" + " and padded" * (spec.upscale == "padded"))
    if any(spec.conditioning):
        shown.append(f"crop conditioning {_words(list(spec.conditioning))}")
    recipe = {k: v for k, v in {**model.train, **model.model}.items() if v is not None}
    name = spec.model + (f" ({_words(recipe)})" if recipe else "")
    return (name, _words(model.crops), *parts, "; ".join(shown) or "–")


def _words(value: Any) -> str:
    if not value or value == {"kind": "none"}:
        return "–"
    if isinstance(value, dict):
        rest = [f"{key}={_words(item)}" for key, item in value.items() if key != "kind" and item is not None]
        kind = str(value.get("kind", ""))
        return " ".join([kind, f"({', '.join(rest)})" if kind and rest else ", ".join(rest)]).strip()
    return "×".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
