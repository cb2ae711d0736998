"""What the page's template is given."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from rpe2d_bench.report import formats, strip_view
from rpe2d_bench.report.answer import answer, duration
from rpe2d_bench.report.frame import load_frame
from rpe2d_bench.report.page import Section
from rpe2d_bench.report.palette import COLOURS
from rpe2d_bench.report.quality import findings
from rpe2d_bench.report.results import Results
from rpe2d_bench.report.search import HEADS, TRIAL_HEADS, how_chosen
from rpe2d_bench.report.tables import Table, number
from rpe2d_bench.report.templating import data_uri
from rpe2d_bench.report.training import training_curves
from rpe2d_bench.report.vocabulary import size_label

SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "◀", "▶", "⬟")


def context(results: Results, store: Path, sections: list[Section]) -> dict[str, Any]:
    """Plain values and ready-made SVG; no template touches a record."""
    look = results.look
    frame = load_frame(results.records)
    return {
        "title": results.name,
        "version": metadata.version("rpe2d-bench"),
        "colours": COLOURS,
        "sentences": answer(results),
        "facts": _facts(results),
        "methods": [
            {"name": name, "index": style.index, "colour": style.index % len(COLOURS),
             "symbol": SYMBOLS[style.index % len(SYMBOLS)], "parts": _parts(results, name),
             "reference": name == results.reference}
            for name, style in look.items()
        ],
        "series": {name: style.index for name, style in look.items()},
        "metric": results.main_metric,
        "metrics": results.metrics,
        "sections": [_section(results, section) for section in sections],
        "training": training_curves(results, store),
        "findings": findings(results),
        "costs": _costs(results),
        "search": how_chosen(results),
        "search_heads": (HEADS, TRIAL_HEADS),
        "provenance": _provenance(results),
        "results_csv": data_uri(frame.to_csv(index=False), "text/csv"),
        "files": files_of_table,
        "number": number,
        "tests": [size_label(t) for t in dict.fromkeys(t for tests in results.resolutions.values() for t in tests)],
    }  # fmt: skip


def files_of_table(table: Table) -> dict[str, str]:
    """Downloads of a table."""
    return {
        "csv": data_uri(formats.csv_text(table), "text/csv"),
        "tex": data_uri(formats.latex(table), "text/x-tex"),
        "md": data_uri(formats.markdown(table), "text/markdown"),
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    samples = sorted({r.num_samples for r in results.find("measure") if r.num_samples})
    out = [
        ("methods", str(len(results.methods))),
        ("seed" if len(results.seeds) == 1 else "seeds", str(len(results.seeds))),
    ]
    if samples:
        out.append(("pictures per cell", " / ".join(map(str, samples))))
    out.append(("newest record", results.newest.created[:16].replace("T", " ")))
    out.append(("commit", (results.newest.provenance.commit or "unknown")[:10]))
    return out


def _parts(results: Results, method: str) -> dict[str, str]:
    """The four things that make a method: positions, frequencies, logit scale, sampler."""
    spec = results.methods[method]
    model = (results.experiment.get("models") or {}).get(spec.get("model")) or {}
    encoding = {**(model.get("encoding") or {}), **{k: v for k, v in spec.items() if v is not None}}
    usual = (results.experiment.get("evaluate") or {}).get("sampler") or {}
    parts = {name: _words(encoding.get(name)) for name in ("positions", "frequencies", "logit_scale")}
    own = {k: v for k, v in (spec.get("sampler") or {}).items() if v is not None and usual.get(k) != v}
    shown = [] if not own else [_words(own)]
    if spec.get("upscale"):
        shown.append("generated at the train resolution, then enlarged")
    if any(spec.get("conditioning") or ()):
        shown.append(f"crop conditioning {_words(spec['conditioning'])}")
    recipe = {k: v for k, v in {**(model.get("train") or {}), **(model.get("model") or {})}.items() if v is not None}
    name = str(spec.get("model")) + (f" ({_words(recipe)})" if recipe else "")
    return {"model": name, "crops": _words(model.get("crops")), **parts, "sampler": "; ".join(shown) or "–"}


def _words(value: Any) -> str:
    if not value or value == {"kind": "none"}:
        return "–"
    if isinstance(value, dict):
        rest = [f"{key}={_words(item)}" for key, item in value.items() if key != "kind" and item is not None]
        kind = str(value.get("kind", ""))
        return " ".join([kind, f"({', '.join(rest)})" if kind and rest else ", ".join(rest)]).strip()
    return "×".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _section(results: Results, section: Section) -> dict[str, Any]:
    by_metric = [
        (metric, [table for table in section.tables if table.name.startswith(f"{metric.key}_train")])
        for metric in results.metrics
    ]
    figures = [section.curves[metric.key] for metric in results.metrics]
    return {
        "train": size_label(section.train),
        "figures": figures,
        "by_metric": by_metric,
        "strips": strip_view.of_run(results, section.train, section.strips, section.real),
        "plane": section.plane,
        "ramps": section.ramps,
    }


def _costs(results: Results) -> dict[str, Any]:
    models = []
    for model in results.models:
        for train in results.resolutions:
            found = results.find("train", model=model, train_resolution=train, status="ok")
            if not found:
                continue
            details, seconds = found[0].details, [sum(record.timings.values()) for record in found]
            speeds = [r.metrics["images_per_second"] for r in found if "images_per_second" in r.metrics]
            models.append([
                model, size_label(train), _count(details.get("parameters")), _count(details.get("flops_per_step")),
                str(details.get("steps", "–")), duration(sum(seconds) / len(seconds)) if any(seconds) else "–",
                number(sum(speeds) / len(speeds)) if speeds else "–", str(len(found)),
            ])  # fmt: skip
    tests = list(dict.fromkeys(test for tests in results.resolutions.values() for test in tests))
    sampling = []
    for method in results.methods:
        row = []
        for test in tests:
            found = [r for r in results.find("measure", method=method, test_resolution=test, status="ok")
                     if r.num_samples and "sample" in r.timings]  # fmt: skip
            each = [1000 * r.timings["sample"] / (r.num_samples or 1) for r in found]
            row.append(number(sum(each) / len(each)) if each else "–")
        sampling.append((method, row))
    known = any(value != "–" for _, row in sampling for value in row)
    return {"models": models, "sampling": sampling if known else [], "tests": [size_label(test) for test in tests]}


def _count(value: Any) -> str:
    if not isinstance(value, int | float):
        return "–"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:g}"


def _provenance(results: Results) -> dict[str, Any]:
    newest, records = results.newest, results.records
    commands = list(dict.fromkeys(r.provenance.command for r in records if r.provenance.command))
    dirty = any(record.provenance.dirty for record in records)
    commits = sorted({(r.provenance.commit or "unknown") for r in records})
    pairs = [
        ("experiment", results.name),
        ("run", newest.run),
        ("records", f"{len(records)}, sha256 {results.digest}"),
        ("made", f"{min(r.created for r in records)} to {newest.created}"),
        ("commit", ", ".join(commits) + (" (with uncommitted changes)" if dirty else "")),
        ("packages", ", ".join(f"{name} {version}" for name, version in newest.provenance.packages.items())),
        ("python", newest.provenance.python),
        ("platform", ", ".join(sorted({r.provenance.platform for r in records}))),
        ("device", ", ".join(sorted({r.provenance.device for r in records}))),
        ("overrides", ", ".join(dict.fromkeys(o for r in records for o in r.overrides)) or "none"),
    ]
    protocol = sorted({f"{name}: {r.details[name]}" for r in results.find("measure")
                       for name in ("resize", "num_reference") if name in r.details})  # fmt: skip
    versions = {k: v for r in results.find("measure") for k, v in r.metric_versions.items()}
    protocol += [f"{name} version {version}" for name, version in versions.items()]
    return {
        "commands": commands,
        "pairs": [*pairs, ("measurement", "; ".join(protocol) or "–")],
        "config": yaml.safe_dump(results.experiment, sort_keys=False, default_flow_style=None, width=110),
    }
