"""What the page's template is given."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.frame import load_frame
from rpe2d_bench.analysis.quality import Finding, checks, findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.config.experiment import ModelEntry
from rpe2d_bench.report import formats, strip_view
from rpe2d_bench.report.answer import answer
from rpe2d_bench.report.costs import sampler_shares, sampling_cost, training_cost
from rpe2d_bench.report.drawing import KINDS
from rpe2d_bench.report.origin import provenance
from rpe2d_bench.report.page import Section
from rpe2d_bench.report.palette import COLOURS, styles_of
from rpe2d_bench.report.plain import PlainTable
from rpe2d_bench.report.search import HEADS, TRIAL_HEADS, Chosen, how_chosen
from rpe2d_bench.report.stability import stability
from rpe2d_bench.report.tables import Table, number
from rpe2d_bench.report.templating import data_uri
from rpe2d_bench.report.training import training_curves

SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "◀", "▶", "⬟")


def context(results: Results, store: Path, sections: list[Section]) -> dict[str, Any]:
    """Plain values and ready-made SVG; no template touches a record."""
    look = styles_of(results)
    frame = load_frame(results.records)
    found, chosen = findings(results), how_chosen(results)
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
        "findings": found,
        "finding_table": _finding_table(found),
        "costs": [t for t in (training_cost(results), sampling_cost(results), sampler_shares(results)) if t],
        "search": chosen,
        "search_tables": _search_tables(chosen) if chosen else [],
        "stability": stability(results),
        "checks": checks(results),
        "method_table": _method_table(results),
        "provenance": provenance(results),
        "results_csv": data_uri(formats.frame_csv(frame), "text/csv"),
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
        out.append(("images per cell", " / ".join(map(str, samples))))
    out.append(("newest record", results.newest.created[:16].replace("T", " ")))
    out.append(("commit", (results.newest.provenance.commit or "unknown")[:10]))
    return out


def _parts(results: Results, method: str) -> dict[str, str]:
    """What makes a method: positions, frequencies, logit scale, bias, sampler."""
    spec = results.methods[method]
    model = results.experiment.models.get(spec.model) or ModelEntry(encoding={})
    encoding = {**model.encoding, **spec.replacements}
    usual = results.experiment.evaluate.sampler.model_dump(mode="json")
    parts = {name: _words(encoding.get(name)) for name in ("positions", "frequencies", "logit_scale", "bias")}
    own = {k: v for k, v in spec.sampler.items() if v is not None and usual.get(k) != v}
    shown = [] if not own else [_words(own)]
    if spec.upscale:
        shown.append("generated at the train resolution, then enlarged")
    if any(spec.conditioning):
        shown.append(f"crop conditioning {_words(list(spec.conditioning))}")
    recipe = {k: v for k, v in {**model.train, **model.model}.items() if v is not None}
    name = spec.model + (f" ({_words(recipe)})" if recipe else "")
    return {"model": name, "crops": _words(model.crops), **parts, "sampler": "; ".join(shown) or "–"}


def _method_table(results: Results) -> PlainTable:
    """The parts of every method as a file; the page shows them with the methods' marks."""
    rules = ("positions", "frequencies", "logit scale", "bias")
    head = ("method", "trained model", "crops in training", *rules, "own sampler")
    rows = [(name, *_parts(results, name).values()) for name in results.methods]
    return PlainTable("methods", "What each method consists of", head, rows)


def _finding_table(found: list[Finding]) -> PlainTable:
    rows: list[tuple[str, ...]] = [(finding.kind, finding.what, finding.why) for finding in found]
    return PlainTable("findings", "What limits the numbers", ("finding", "where", "why it matters"), rows)


def _search_tables(chosen: Chosen) -> list[PlainTable]:
    return [
        PlainTable("search", "What was tried and chosen", HEADS, chosen.rows),
        PlainTable("trials", "Every trial", TRIAL_HEADS, chosen.trials),
    ]


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
        "overview": {
            kind: data_uri(section.overview[kind], KINDS[kind]) for kind in ("svg", "png") if section.overview
        },
        "plane": section.plane,
        "ramps": section.ramps,
        "denoising": section.denoising,
        "compute": section.compute,
        "needed": section.needed,
    }
