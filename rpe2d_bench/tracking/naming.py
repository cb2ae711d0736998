"""Readable names, tags and parameters of the runs that a record becomes."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from rpe2d_bench.analysis.palette import COLOURS, styles
from rpe2d_bench.analysis.real_names import NAMES, made_by
from rpe2d_bench.resolution import Resolution, Size
from rpe2d_bench.storage.records import Record

IDENTITY = "rpe2d.identity"  # which record (or series, or sweep) a run shows; at most one run each
DIGEST = "rpe2d.digest"  # of the record's content: equal digest, nothing to do
VIEW = "4"  # raised when a run shows more of the same record: `sync` then logs it anew
GREY = "#808080"  # real images, as in figures
MAX_VALUE = 500  # characters of a parameter's or tag's value; the whole configuration is an artifact


def size(resolution: Size | None) -> str:
    """'48' or '32x64', height first."""
    return "" if resolution is None else str(Resolution(*resolution))


def name(record: Record) -> str:
    """'rope seed 0', 'yarn 48 seed 0', 'real images 48 seed 0': charts cut what is longer than two words or three.

    Where an experiment trains at several resolutions, with the one: 'rope 32px seed 0', 'yarn 32->48 seed 0'.
    """
    if record.stage == "train":
        return f"{trained_at(record.model or '', record)} seed {record.seed}"
    method, where = made_by(record), size(record.test_resolution)
    if record.train_resolution is not None and _several(record):  # floors of before 2026-11-23 have none
        where = f"{size(record.train_resolution)}->{where}"
    return f"{method} {where} seed {record.seed}"


def trained_at(what: str, record: Record) -> str:
    """'yarn', or 'yarn 32px' where an experiment trains at several resolutions."""
    return f"{what} {size(record.train_resolution)}px" if record.train_resolution and _several(record) else what


def _several(record: Record) -> bool:
    return len({pair.train for pair in record.config.experiment.resolutions}) > 1


def tags(record: Record) -> dict[str, str]:
    """What one filters by in the UI, and what makes logging the same record twice harmless."""
    known = {
        "stage": record.stage,
        "status": record.status,
        "method": made_by(record),
        "model": record.model,
        "train_resolution": size(record.train_resolution),
        "test_resolution": size(record.test_resolution),
        "seed": record.seed,
        "run": record.run,
        "key": record.key,
        "commit": record.provenance.commit,
        "device": record.provenance.device,
        "error": record.error,
        IDENTITY: identity(*record.identity),
        DIGEST: digest(record),
    }
    return {key: str(value)[:MAX_VALUE] for key, value in known.items() if value not in (None, "")} | shown_as(record)


def shown_as(record: Record) -> dict[str, str]:
    """MLflow's own tags: a method's colour in reports, where the result comes from."""
    if record.method is None:
        return source(record) | ({"mlflow.runColor": GREY} if record.stage in NAMES else {})
    style = styles([*record.config.experiment.methods, record.method])[record.method]
    # reports tell methods that share a colour by their markers, which MLflow has not
    return source(record) | {"mlflow.runColor": style.colour if style.index < len(COLOURS) else style.dark_colour}


def source(record: Record) -> dict[str, str]:
    """Which command at which commit gave a result."""
    known = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": record.provenance.command,
        "mlflow.source.git.commit": record.provenance.commit,
    }
    return {key: value[:MAX_VALUE] for key, value in known.items() if value}


def identity(*parts: Any) -> str:
    """A short stable name for what a run shows."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def digest(record: Record) -> str:
    """Of a record's content and of what is shown of it."""
    return hashlib.sha256((VIEW + record.model_dump_json()).encode()).hexdigest()[:32]


def parameters(record: Record) -> dict[str, str]:
    """The settings of this model or cell, flat: 'train.lr', 'method.frequencies.kind', ..."""
    experiment = record.config.experiment.model_dump(mode="json")
    chosen: dict[str, Any] = {}
    if record.stage == "train":
        chosen = {"model": record.model, "size": experiment["model"], "data": experiment["data"],
                  "train": experiment["train"], "recipe": experiment["models"].get(record.model),
                  "checkpoint": record.artifacts.checkpoint}  # fmt: skip
    elif record.of_method:
        sampler = record.sampling and record.sampling.sampler and record.sampling.sampler.model_dump(mode="json")
        chosen = {"method": experiment["methods"].get(record.method), "sampler": sampler}
    chosen["searched"] = _searched(record)
    shared: dict[str, Any] = {"num_samples": record.num_samples, "seed": record.seed}
    for which in ("train_resolution", "test_resolution"):
        shared[which] = size(getattr(record, which)) or None
    return flat(chosen | shared)


def _searched(record: Record) -> dict[str, Any]:
    """What the search chose for this model, or for this method and its model, and on how many trials it rests."""
    entries = record.config.search.entries if record.config.search else ()
    found: dict[str, Any] = {}
    for section, name in (("models", record.model), ("methods", record.method)):
        for entry in entries:
            if (entry.section, entry.entry) == (section, name) and entry.space:
                found[section.removesuffix("s")] = {"trials": len(entry.trials), **entry.chosen}
    return found


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names; None and empty mappings are left out."""
    if isinstance(value, dict):
        out: dict[str, str] = {}
        for key, item in value.items():
            out |= flat(item, f"{prefix}.{key}" if prefix else str(key))
        return out
    return {} if value is None else {clean(prefix): str(value)[:MAX_VALUE]}


def clean(key: str) -> str:
    """MLflow accepts letters, digits, '_', '-', '.', ' ', ':' and '/' in names."""
    return "".join(letter if letter.isalnum() or letter in "_-. :/" else "_" for letter in key)[:250]


def milliseconds(created: str) -> int:
    return int(datetime.fromisoformat(created).timestamp() * 1000)
