"""A Table as Markdown, CSV and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from rpe2d_bench.report.tables import TIED_MARK, UNDERTRAINED_MARK, Cell, Row, Table

if TYPE_CHECKING:
    import pandas as pd

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "×": r"$\times$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "†": r"$^\dagger$", "∞": r"$\infty$", "·": r"$\cdot$",
    "|": r"\textbar{}", "[": "{[}", "<": r"$<$", ">": r"$>$", "–": "--", "é": r"\'e",
}  # fmt: skip


def escape_latex(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def escape_markdown(text: str) -> str:
    """Names cannot open markup, links, mathematics, HTML or a new cell."""
    out = "".join("\\" + letter if letter in "\\`*[]|#$~" else letter for letter in text)
    out = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", out)  # within a word it opens nothing
    return out.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(table: Table) -> str:
    """A heading, a pipe table, and the notes."""
    heads = [f"{c} ({s})" for c, s in zip(table.columns, table.subtitles, strict=True)]
    lines = [
        f"### {escape_markdown(table.title)}",
        "",
        "| method | " + " | ".join(escape_markdown(head) for head in heads) + " |",
        "| --- |" + " ---: |" * len(heads),
    ]
    for row in _all_rows(table):
        cells = (_bold(escape_markdown(_words(cell)), cell, "**{}**") for cell in row.cells)
        lines.append(f"| {escape_markdown(row.marked)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(escape_markdown(note) + "  " for note in table.notes)]).rstrip() + "\n"


def latex(table: Table) -> str:
    r"""A table environment for \usepackage{booktabs}."""
    heads = [f"{c} ({s})" for c, s in zip(table.columns, table.subtitles, strict=True)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title + '. ' + ' '.join(table.notes))}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
        r"\toprule",
        "method & " + " & ".join(escape_latex(head) for head in heads) + r" \\",
        r"\midrule",
    ]
    for row in _all_rows(table):
        if row is table.floor:
            lines.append(r"\midrule")
        cells = (_bold(escape_latex(_words(cell)), cell, r"\textbf{{{}}}") for cell in row.cells)
        lines.append(escape_latex(row.marked) + " & " + " & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def csv_text(table: Table) -> str:
    """One line per cell: method, test resolution, state, mean, sd, low, high, n, best, tied, undertrained."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "test_resolution", "scale", "state", "mean", "sd", "low_95", "high_95", "n", "best",
                     "not_separated_from_best", "undertrained"])  # fmt: skip
    for row in _all_rows(table):
        for column, scale, cell in zip(table.columns, table.subtitles, row.cells, strict=True):
            value = cell.value
            numbers = [value.mean, value.spread, value.low, value.high, value.n] if value else [None] * 5
            writer.writerow([safe_csv(row.label), column.replace("×", "x"), scale.replace("×", "x"), cell.state,
                             *numbers, cell.best, cell.tied, row.undertrained])  # fmt: skip
    return out.getvalue()


def safe_csv(text: str) -> str:
    """A name that a spreadsheet would run as a formula gets a leading apostrophe."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def frame_csv(frame: pd.DataFrame) -> str:
    """A data frame as CSV that is safe to open in a spreadsheet."""
    return frame.map(lambda value: safe_csv(value) if isinstance(value, str) else value).to_csv(index=False)


def _all_rows(table: Table) -> list[Row]:
    return [*table.rows, *([table.floor] if table.floor else []), *table.beside]


def _words(cell: Cell) -> str:
    return cell.text + (f" {TIED_MARK}" if cell.tied else "")


def _bold(text: str, cell: Cell, pattern: str) -> str:
    return pattern.format(text) if cell.best or cell.significant else text


__all__ = [
    "UNDERTRAINED_MARK",
    "csv_text",
    "escape_latex",
    "escape_markdown",
    "frame_csv",
    "latex",
    "markdown",
    "safe_csv",
]
