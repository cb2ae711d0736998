"""Tables of words and single numbers, with the downloads that every table of a page has."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from rpe2d_bench.report.formats import escape_latex, escape_markdown, safe_csv
from rpe2d_bench.report.templating import data_uri


@dataclass(frozen=True)
class PlainTable:
    """A heading per column, rows of text; the first column names the row."""

    name: str  # for file names and anchors
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: bool = False  # all columns but the first are numbers
    note: str = ""

    @property
    def files(self) -> dict[str, str]:
        return {"csv": data_uri(csv_text(self), "text/csv"), "tex": data_uri(latex(self), "text/x-tex")}


def csv_text(table: PlainTable) -> str:
    """A line per row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.head)
    writer.writerows([safe_csv(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def markdown(table: PlainTable) -> str:
    """A heading, the table, its note."""
    rule = "| --- |" + (" ---: |" if table.numbers else " --- |") * (len(table.head) - 1)
    head, *rows = ("| " + " | ".join(map(escape_markdown, row)) + " |" for row in (table.head, *table.rows))
    lines = [f"### {escape_markdown(table.title)}", "", head, rule, *rows, ""]
    return "\n".join([*lines, table.note, ""] if table.note else lines)


def latex(table: PlainTable) -> str:
    r"""A table environment for \usepackage{booktabs}."""
    columns = "l" + ("r" if table.numbers else "l") * (len(table.head) - 1)
    caption = f"{table.title}. {table.note}".strip() if table.note else table.title
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *(" & ".join(escape_latex(cell) for cell in row) + r" \\" for row in (table.head,)),
        r"\midrule",
        *(" & ".join(escape_latex(cell) for cell in row) + r" \\" for row in table.rows),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"
