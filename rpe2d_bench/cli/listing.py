"""What `ls` knows: everything that can be written in an experiment file, and the runs of a store."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rpe2d_bench.cli.named_in_files import TRAINING
from rpe2d_bench.errors import unknown

Rows = list[dict[str, str]]


def _methods(part: str) -> Callable[[Path], Rows]:
    def rows(store: Path) -> Rows:
        from rpe2d_bench.cli.explain import tables, training_of

        found = []
        for name, entry in sorted(tables()[part].items()):
            source = getattr(entry, "source", None)
            found.append(
                {
                    "name": name,
                    "what": _first_line(entry),
                    "training": training_of(part, entry),
                    "options": ", ".join(_options(entry)),
                    "source": getattr(source, "paper", ""),
                }
            )
        return found

    return rows


def _data(store: Path) -> Rows:
    from rpe2d_bench.cli.explain import module_summary
    from rpe2d_bench.data import DATASETS

    return [
        {"name": name, "what": module_summary(entry), "options": ", ".join(_options(entry))}
        for name, entry in DATASETS.items()
    ]


def _crops(store: Path) -> Rows:
    from rpe2d_bench.data.crops import CROPS

    return [
        {"name": name, "what": _first_line(entry), "options": ", ".join(_options(entry))}
        for name, entry in CROPS.items()
    ]


def _metrics(store: Path) -> Rows:
    from rpe2d_bench.metrics import METRICS

    return [
        {
            "name": metric.name,
            "version": metric.version,
            "better": metric.better,
            "source": metric.citation,
        }
        for metric in METRICS.values()
    ]


def _nets(store: Path) -> Rows:
    from rpe2d_bench.metrics import FEATURE_NETS

    return [
        {
            "name": net.name,
            "classifies": "yes" if net.classifies else "no",
            "weights": "to be given by path" if net.needs_weights else "in the package",
        }
        for net in FEATURE_NETS.values()
    ]


def _samplers(store: Path) -> Rows:
    from rpe2d_bench.diffusion import SAMPLERS

    return [
        {"name": name, "what": _first_line(solver.integrate), "evaluations": f"{solver.evaluations(10)} in 10 steps"}
        for name, solver in SAMPLERS.items()
    ]


def _autoencoders(store: Path) -> Rows:
    from rpe2d_bench.autoencoders import AUTOENCODERS
    from rpe2d_bench.cli.explain import module_summary

    return [
        {"name": name, "what": module_summary(entry), "options": ", ".join(_options(entry))}
        for name, entry in AUTOENCODERS.items()
    ]


def _models(store: Path) -> Rows:
    from rpe2d_bench.models import SIZES

    return [
        {"name": f"{name}/PATCH", "width": str(width), "depth": str(depth), "heads": str(heads)}
        for name, (width, depth, heads) in SIZES.items()
    ]


def _experiments(store: Path) -> Rows:
    from rpe2d_bench.config import header, shipped

    files = {name: shipped.find(Path(name)) for name in shipped.names()}
    return [
        {"name": name, "question": header.question(file) or "", "costs": header.labelled(file).get("Cost", "")}
        for name, file in files.items()
    ]


def _runs(store: Path) -> Rows:
    from rpe2d_bench.storage import records

    if not (store / records.RECORDS_FILE).exists():
        return []
    rows: dict[str, dict[str, str]] = {}
    counts: dict[str, list[int]] = {}
    for record in records.read(store):
        count = counts.setdefault(record.run, [0, 0])
        count[0] += 1
        count[1] += record.status == "failed"
        rows[record.run] = {
            "run": record.run,
            "experiment": record.experiment,
            "records": str(count[0]),
            "failed": str(count[1]),
            "latest": record.created[:16].replace("T", " "),
        }
    return sorted(rows.values(), key=lambda row: row["latest"])


KINDS: dict[str, Callable[[Path], Rows]] = {
    "encodings": _methods("encoding"),
    "positions": _methods("positions"),
    "frequencies": _methods("frequencies"),
    "logit_scales": _methods("logit_scale"),
    "biases": _methods("bias"),
    "data": _data,
    "crops": _crops,
    "models": _models,
    "autoencoders": _autoencoders,
    "samplers": _samplers,
    "metrics": _metrics,
    "nets": _nets,
    "experiments": _experiments,
    "runs": _runs,
}


def as_dict(kind: str | None, store: Path) -> dict[str, Rows]:
    """Rows of one kind, or of all. Raises UserError with a suggestion."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind of thing to list", kind, KINDS)
    return {name: rows(store) for name, rows in KINDS.items() if kind in (None, name)}


def show(kind: str | None, store: Path) -> None:
    """Print a table per kind; without a kind, leave out the columns that take the most room."""
    console = Console()
    found = as_dict(kind, store)
    for name, rows in found.items():
        if not rows:
            continue
        columns = [column for column in rows[0] if kind or column not in ("options", "source", "costs")]
        table = Table(title=name, title_justify="left", box=None, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column == columns[0])
        for row in rows:
            table.add_row(*[Text(row[column]) for column in columns])  # a docstring's [B, N] is no markup
        console.print(table)
        console.print()
    if any("training" in row for rows in found.values() for row in rows):
        for word, cost in TRAINING.items():
            console.print(f"{word}: costs {cost}", highlight=False)
    if kind is None:
        console.print("more: rpe2d-bench ls KIND; rpe2d-bench show NAME", highlight=False)


def _first_line(entry: Any) -> str:
    return (inspect.getdoc(entry) or "").partition("\n")[0]


def _options(entry: Any) -> list[str]:
    if dataclasses.is_dataclass(entry):
        return [field.name for field in dataclasses.fields(entry) if field.init]
    from rpe2d_bench.encodings.spec import FROM_MODEL, schema

    return [name for name in schema(entry) if name not in FROM_MODEL]
