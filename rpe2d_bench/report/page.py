"""Pages: self-contained HTML, no file beside it, no request to anywhere."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.palette import COLOURS, styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report import formats
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing
from rpe2d_bench.report.images import Strips
from rpe2d_bench.report.table import Table
from rpe2d_bench.report.templating import data_uri, environment, packed

EMBEDDED = 2**20  # characters of a file from which a page holds it compressed
SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "◀", "▶", "⬟")


def write_page(results: Results, sections: dict[str, Content], frame_csv: str, path: Path) -> None:
    """The report of one run; its legend highlights a method everywhere."""
    look = styles_of(results)
    legend = [
        {"name": name, "index": s.index, "colour": s.index % len(COLOURS), "symbol": SYMBOLS[s.index % len(SYMBOLS)]}
        for name, s in look.items()
    ]
    long = len(frame_csv) > EMBEDDED
    everything = {"results.csv.gz": packed(frame_csv)} if long else {"results.csv": data_uri(frame_csv, "text/csv")}
    series = {name: style.index for name, style in look.items()}
    render(path, "report", results.name, sections, series, facts=_facts(results), legend=legend, everything=everything)


def render(
    path: Path, kind: str, title: str, sections: dict[str, Content], series: dict[str, int], **more: Any
) -> None:
    """The template beside this file: sections by anchor, methods' colours by name."""
    template = environment().get_template("page.html.j2")
    given = {"facts": [], "legend": [], "everything": {}} | more
    text = template.render(
        kind=kind, title=title, sections=sections, series=series, colours=COLOURS, kind_of=_kind_of,
        files=_files_of_table, version=metadata.version("rpe2d-bench"), **given,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def _kind_of(block: object) -> str:
    """Which of the template's macros shows a block."""
    kinds = {Table: "table", Drawing: "drawing", Strips: "strips", Content: "fold"}
    return kinds.get(type(block), "text")


def _files_of_table(table: Table) -> dict[str, str]:
    if table.large:
        return {"csv.gz": packed(formats.csv_text(table))}
    return {
        "csv": data_uri(formats.csv_text(table), "text/csv"),
        "tex": data_uri(formats.latex(table), "text/x-tex"),
        "md": data_uri(formats.table_markdown(table), "text/markdown"),
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    counts = results.image_counts
    return [
        ("methods", str(len(results.methods))),
        ("seed" if len(results.seeds) == 1 else "seeds", str(len(results.seeds))),
        *([("images per cell", " / ".join(map(str, counts)))] if counts else []),
        ("newest record", results.newest.created[:16].replace("T", " ")),
        ("commit", (results.newest.provenance.commit or "unknown")[:10]),
    ]
