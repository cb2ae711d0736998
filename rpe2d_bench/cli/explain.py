"""What a name means, for `show`: everything that `ls` lists, from the tables and the comments where it is defined.

Over 250 lines, since it has one short function for every kind of name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.cli.named_in_files import TRAINING, explained, uses
from rpe2d_bench.errors import UserError, suggestion

if TYPE_CHECKING:
    from rpe2d_bench.config.experiment import Experiment


@dataclass(frozen=True)
class Explanation:
    """One meaning of a name."""

    kind: str
    name: str
    what: str
    facts: dict[str, str] = field(default_factory=dict)
    options: list[dict[str, str]] = field(default_factory=list)  # name, value, default, what
    encoding: dict[str, Any] | None = None  # whose numbers it is, as a file would write it
    grids: tuple[str, str] = ("24x24", "16x16")  # tokens now and in training, to show them at

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("encoding", "grids")}


Explain = Callable[[], Explanation]
PARTS = {  # part of the schema -> what it is called, how it is written
    "data": ("data set", "data: {name: %s}"),
    "autoencoder": ("autoencoder", "autoencoder: {kind: %s, path: PATH}"),
    "crops": ("crops", "models: {NAME: {crops: {kind: %s}}}"),
    "encoding": ("encoding", "models: {NAME: {encoding: {kind: %s}}}"),
    "positions": ("positions", "positions: {kind: %s}, of an encoding or a method"),
    "frequencies": ("frequencies", "frequencies: {kind: %s}, of an encoding or a method"),
    "logit_scale": ("logit scale", "logit_scale: {kind: %s}, of an encoding or a method"),
    "bias": ("bias", "bias: {kind: %s}, of an encoding"),
}
VIEWS = {
    "whole": "images as they are",
    "global": "images resized to the train resolution: structure",
    "local": "crops of the train size at native resolution, each against real crops at the same place: detail",
    "spatial": "the feature map before pooling",
    "judge": "the answers of `evaluate.classifier`, a net other than the one of the distances",
    "repetition": "correlation of each image with itself, shifted",
    "objects": "connected objects, glyphs only",
    "model": "the model's attention or its answers, on noised real images, while samples are measured",
    "denoising": "the model's answers on noised held-out images; nothing is sampled",
}
FAILURES = 10  # of a run, named in its explanation


def explain(name: str, store: Path) -> list[Explanation]:
    """Every meaning of a name; raises UserError with a suggestion when there is none."""
    known = _names(store)
    found = known.get(name, [])
    if not found:
        wanted = _plainly(name)
        found = [*_in_files(wanted), *(meaning for key in _called(wanted) for meaning in known[key])]
    if not found and name.endswith(".yaml"):
        raise UserError(f"no experiment file at {name}")
    if not found:
        close = suggestion(name, {*known, *(use.name for use in uses())})
        raise UserError(f"unknown name {name!r}{close or '; rpe2d-bench ls names everything'}")
    return [meaning() for meaning in found]


def _plainly(name: str) -> str:
    """A name as people vary it: RPE-2D, rpe2d; DiT-S/2 is of the size DiT-S."""
    return re.sub(r"[^a-z0-9]", "", name.partition("/")[0].lower())


def _called(wanted: str) -> Iterable[str]:
    """Names in the tables of what people call otherwise, or write otherwise."""
    from rpe2d_bench.models import SIZES

    for table in tables().values():
        for name, entry in table.items():
            aliases = getattr(getattr(entry, "source", None), "aliases", ())
            if wanted in map(_plainly, (name, *aliases)):
                yield name
    yield from (size for size in SIZES if _plainly(size) == wanted)


def _in_files(wanted: str) -> Iterable[Explain]:
    """Methods and models of the shipped experiments."""
    for name in dict.fromkeys(use.name for use in uses() if _plainly(use.name) == wanted):
        for use, facts in explained(name):
            kind = f"{use.section[:-1]} of experiments"
            encoding, grids = (use.encoding, use.grids) if use.section == "methods" else (None, ("", ""))
            yield _fixed(Explanation(kind, name, use.what, facts, encoding=encoding, grids=grids))


def module_summary(entry: Any) -> str:
    """What a data set or an autoencoder is: its module's first paragraph, since its class documents the options."""
    module = inspect.getmodule(entry)
    return " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split()) if module else ""


def _names(store: Path) -> dict[str, list[Explain]]:
    found: dict[str, list[Explain]] = {}
    for name, meaning in (*_parts(), *_measuring(), *_samplers(), *_sizes(), *_experiments(), *_stored(store)):
        found.setdefault(name, []).append(meaning)
    return found


def tables() -> dict[str, Any]:
    """Part of an encoding -> its methods by name."""
    from rpe2d_bench import encodings

    return {"encoding": encodings.ENCODINGS, "positions": encodings.POSITIONS, "frequencies": encodings.FREQUENCIES,
            "logit_scale": encodings.LOGIT_SCALES, "bias": encodings.LOGIT_BIASES}  # fmt: skip


def training_of(part: str, entry: Any) -> str:
    """Whether a method of a table can be put on any trained model, in a word of TRAINING."""
    own = part in ("encoding", "bias") or getattr(getattr(entry, "source", None), "trained", False)
    return "trained" if own else "training-free"


def _parts() -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench import autoencoders, data
    from rpe2d_bench.encodings.describe import spec_of
    from rpe2d_bench.reference.json_schema import kinds

    methods = tables()
    modules: dict[str, Any] = {"data": data.DATASETS, "autoencoder": autoencoders.AUTOENCODERS}
    for part, entries in kinds().items():
        kind, written = PARTS[part]
        for name, entry in entries.items():
            sentence = module_summary(modules[part][name]) if part in modules else entry["description"]
            facts = {"write": written % name}
            spec = None
            if part in methods:
                source = getattr(methods[part].get(name), "source", None)
                if source is not None and source.paper:
                    facts["source"] = source.paper
                if source is not None and source.aliases:
                    facts["also called"] = ", ".join(source.aliases)
                facts["training"] = training_of(part, methods[part].get(name))
                facts["costs"] = TRAINING[facts["training"]]
                spec = spec_of(name)
            yield name, _fixed(Explanation(kind, name, sentence, facts, _options(entry), spec))


def _options(entry: dict[str, Any]) -> list[dict[str, str]]:
    from rpe2d_bench.reference.experiment_page import words

    return [
        {
            "name": name,
            "value": re.sub(r"\[(.*?)\]\(#.*?\)", r"\1", words(option)).replace("`", ""),
            "default": "required" if name in entry["required"] else _plain(option.get("default")),
            "what": option.get("description", ""),
        }
        for name, option in entry["properties"].items()
    ]


def _plain(value: Any) -> str:
    """As it is written in YAML, on one line."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def _measuring() -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench.metrics import FEATURE_NETS, METRICS

    for metric in METRICS.values():
        facts = {
            "better": metric.better,
            "looks at": VIEWS.get(metric.view, metric.view),
            "source": metric.citation,
            "version": metric.version,
            "write": f"evaluate: {{metrics: [{metric.name}]}}",
        }
        if metric.only:
            facts["only with"] = f"the net {metric.only}"
        yield metric.name, _fixed(Explanation("metric", metric.name, metric.explanation, facts))
    for net in FEATURE_NETS.values():
        facts = {
            "classifies": "yes; may be evaluate.classifier" if net.classifies else "no",
            "weights": "to be given by path" if net.needs_weights else "in the package, or with its extra",
            "write": f"evaluate: {{features: {net.name}}}",
        }
        what = "a net whose features distances are taken in; values carry its name"
        yield net.name, _fixed(Explanation("feature net", net.name, what, facts))


def _samplers() -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench.diffusion import SAMPLERS

    for name, solver in SAMPLERS.items():
        facts = {
            "evaluations": f"of the model, without guidance: {solver.evaluations(10)} in 10 steps"
            + (" at the most" if solver.adaptive else ""),
            "shift": "as sampler.shift says" if solver.shifts else "its times are its own and are not shifted",
            "write": f"evaluate: {{sampler: {{kind: {name}, steps: 25, guidance: 1.5}}}}",
        }
        what = " ".join((inspect.getdoc(solver.integrate) or "").split())
        yield name, _fixed(Explanation("sampler", name, what, facts))


def _sizes() -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench.models import SIZES

    for name, (width, depth, heads) in SIZES.items():
        facts = {"width": str(width), "depth": str(depth), "heads": str(heads),
                 "write": f"model: {{preset: {name}/4}}, 4 being the side of a patch in pixels"}  # fmt: skip
        yield name, _fixed(Explanation("size of the model", name, "a diffusion transformer", facts))


def _experiments() -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench.config import shipped

    here, ours = (sorted(folder.glob("*.yaml")) for folder in (Path("experiments"), shipped.FOLDER))
    for path in {path.resolve(): path for path in (*ours, *here)}.values():
        for name in (path.stem, str(path)):
            yield name, lambda path=path: _experiment(path)  # type: ignore[misc]


def _experiment(path: Path) -> Explanation:
    from rpe2d_bench.config.header import labelled
    from rpe2d_bench.resolve.load import load_experiment

    sentence = labelled(path)
    facts = {name.lower(): text for name, text in sentence.items() if name != "Question"}
    try:
        facts |= _settings(load_experiment(path))
    except UserError as error:  # such as images that are not there
        facts["not ready"] = str(error)
    return Explanation(
        "experiment", path.stem, sentence.get("Question", ""), facts | {"next": f"rpe2d-bench plan {path}"}
    )


def _settings(loaded: Experiment) -> dict[str, str]:
    from rpe2d_bench.sampling.schedule import in_words, schedules, warnings

    sizes = "; ".join(f"{pair.train} -> {', '.join(map(str, pair.test))}" for pair in loaded.resolutions)
    realised = schedules(loaded)
    return {
        "data": str(loaded.data.get("name")),
        "model": loaded.model.preset,
        "models": ", ".join(loaded.models),
        "methods": ", ".join(loaded.methods),
        "pixels": sizes,
        "seeds": ", ".join(map(str, loaded.seeds)),
        "metrics": ", ".join(loaded.evaluate.metrics),
        "sampler": "\n".join((*in_words(realised), *warnings(realised))),
    }


def _stored(store: Path) -> Iterable[tuple[str, Explain]]:
    from rpe2d_bench.storage import records

    yield "records", _records
    if (store / records.RECORDS_FILE).exists():
        for run in dict.fromkeys(record.run for record in records.read(store)):
            yield run, lambda run=run: _run(run, store)  # type: ignore[misc]


def _records() -> Explanation:
    from rpe2d_bench.storage.records import RECORDS_FILE, Record

    fields = [
        {"name": name, "value": "", "default": "", "what": str(field.description)}
        for name, field in Record.model_fields.items()
        if name != "schema_version"
    ]
    facts = {"file": f"{RECORDS_FILE} in the store, a line each; appended, never edited",
             "from Python": "rpe2d_bench.load_records(...)"}  # fmt: skip
    return Explanation("format", "records", "results, one per trained model, cell and floor", facts, fields)


def _run(run: str, store: Path) -> Explanation:
    from rpe2d_bench.storage import records

    found = [record for record in records.read(store) if record.run == run]
    newest = max(found, key=lambda record: record.created)
    counts = {stage: sum(r.stage == stage for r in found) for stage in ("train", "floor")}
    cells = sum(record.of_method for record in found)
    failed = [record for record in found if record.status == "failed"]
    facts = {
        "experiment": newest.experiment,
        "records": f"{counts['train']} trained models, {cells} cells, {counts['floor']} floors",
        "failed": "none" if not failed else f"{len(failed)}, such as: " + "; ".join(
            dict.fromkeys(str(record.error) for record in failed[:FAILURES])),
        "made": f"{min(record.created for record in found)} to {newest.created}",
        "commit": (newest.provenance.commit or "unknown") + (", with changes" if newest.provenance.dirty else ""),
        "device": newest.provenance.device,
        "command": newest.provenance.command,
    }  # fmt: skip
    return Explanation("run", run, f"a run of {newest.experiment} in {store}", facts)


def _fixed(explanation: Explanation) -> Explain:
    return lambda: explanation
