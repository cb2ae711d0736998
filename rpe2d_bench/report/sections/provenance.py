"""Where the numbers of a report come from: commands, code, machine, and how images were prepared for each metric."""

from __future__ import annotations

from pathlib import Path

import yaml

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import Table, plain
from rpe2d_bench.storage.record_parts import DataCounts, MeasurementDetails


def build(results: Results, store: Path) -> Content:
    """Commands, facts, the measurement's protocol and the resolved experiment."""
    newest, records = results.newest, results.records
    commands = list(dict.fromkeys(r.provenance.command for r in records if r.provenance.command))
    dirty = any(record.provenance.dirty for record in records)
    commits = sorted({(r.provenance.commit or "unknown") for r in records})
    revisions = sorted({r.data_revision for r in records if r.data_revision})
    measured = [r.measurement for r in results.find("measure") if r.measurement]
    references = [str(count) for count in sorted({m.counts.reference for m in measured if m.counts})]
    labels = sorted({_labels(m) for m in measured if m.labels})
    pairs = [
        ("experiment", results.name),
        ("run", newest.run),
        ("records", f"{len(records)}, sha256 {results.digest}"),
        ("made", f"{min(r.created for r in records)} to {newest.created}"),
        ("commit", ", ".join(commits) + (" (with uncommitted changes)" if dirty else "")),
        ("data", ", ".join(revisions)),
        ("images", _images(newest.configuration.data)),
        ("reference", f"{' or '.join(references)} real images a cell" if references else ""),
        ("labels", " / ".join(labels)),
        ("packages", ", ".join(f"{name} {version}" for name, version in newest.provenance.packages.items())),
        ("python", newest.provenance.python),
        ("platform", ", ".join(sorted({r.provenance.platform for r in records}))),
        ("device", ", ".join(sorted({r.provenance.device for r in records}))),
        ("arithmetic", "; ".join(_arithmetic(results))),
        ("overrides", ", ".join(dict.fromkeys(o for r in records for o in r.configuration.overrides)) or "none"),
    ]
    these = "This command made" if len(commands) == 1 else "These commands made"
    config = yaml.safe_dump(
        results.experiment.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110
    )
    facts = [(name, value) for name, value in pairs if value]
    protocol = [table for table in (_versions(results), _preparation(results)) if table]
    return Content("Provenance", (
        Text(f"{these} the records; rpe2d-bench report makes this page from them.") if commands else
        Text("The records name no command.", "missing"),
        *(Text(command, "code") for command in commands),
        plain("provenance", "Where the numbers come from", ("what", "value"), facts),
        *(Content(table.title, (table,)) for table in protocol),
        Content("The experiment as it was resolved", (Text(config, "code"),)),
    ), printed=True)  # fmt: skip


def _images(data: DataCounts | None) -> str:
    if data is None:
        return ""
    sizes = {"train": data.train, "validation": data.validation, "test": data.test}
    return f"{data.classes:,} classes; " + ", ".join(
        f"{split} {'endless' if size is None else f'{size:,}'}" for split, size in sizes.items()
    )


def _labels(measured: MeasurementDetails) -> str:
    counts = measured.class_counts
    return f"{measured.labels}; images per class: {counts}" if counts else str(measured.labels)


def _arithmetic(results: Results) -> list[str]:
    """What trainings and samplings computed in, and why, in the order in which records were made."""
    return list(dict.fromkeys(line for record in results.records for line in record.config.arithmetic))


def _versions(results: Results) -> Table | None:
    found = {name: version for r in results.find("measure") for name, version in r.metric_versions.items()}
    rows: list[tuple[str, ...]] = list(found.items())
    return plain("metric_versions", "Versions of metrics and nets", ("metric", "version"), rows) if rows else None


def _preparation(results: Results) -> Table | None:
    """What happened to images before a net saw them: a row per view and treatment, its sizes together."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for record in results.find("measure", status="ok"):
        for view, text in (record.measurement.resize if record.measurement else {}).items():
            size, _, rest = str(text).partition(", ")
            if " -> " not in size:
                size, rest = "all", str(text)
            found.setdefault((view.partition("@")[0], rest), {})[size.replace(" -> ", " → ")] = None
    rows: list[tuple[str, ...]] = [(view, ", ".join(sizes), rest) for (view, rest), sizes in found.items()]
    head = ("view", "sizes, height×width", "how")
    return plain("preparation", "What was done to images before a net saw them", head, rows) if rows else None
