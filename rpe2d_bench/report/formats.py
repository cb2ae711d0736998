"""Tables as Markdown, CSV and LaTeX (booktabs), and a whole Content as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import Table

if TYPE_CHECKING:
    import pandas as pd

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "×": r"$\times$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "†": r"$^\dagger$", "∞": r"$\infty$", "·": r"$\cdot$",
    "|": r"\textbar{}", "[": "{[}", "<": r"$<$", ">": r"$>$", "–": "--", "é": r"\'e", "→": r"$\to$",
}  # fmt: skip
NUMBERS = ("test_resolution", "scale", "state", "mean", "sd", "low_95", "high_95", "n", "best",
           "not_separated_from_best", "undertrained")  # fmt: skip


def escape_latex(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def escape_markdown(text: str) -> str:
    """Names cannot open markup, links, mathematics, HTML or a new cell."""
    out = "".join("\\" + letter if letter in "\\`*[]|#$~" else letter for letter in text)
    out = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", out)  # within a word it opens nothing
    return out.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def safe_csv(text: str) -> str:
    """A name that a spreadsheet would run as a formula gets a leading apostrophe."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def frame_csv(frame: pd.DataFrame) -> str:
    """A data frame as CSV that is safe to open in a spreadsheet."""
    words = {
        name: frame[name].map(lambda value: safe_csv(value) if isinstance(value, str) else value)
        for name in frame.columns
        if frame[name].dtype.kind not in "biuf"
    }
    return frame.assign(**words).to_csv(index=False)


def csv_text(table: Table) -> str:
    """As it is shown; where cells hold numbers, a line per cell with the numbers in full (NUMBERS)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if not any(cell.value for row in table.rows for cell in row.cells):
        writer.writerow([table.corner, *table.heads])
        writer.writerows([safe_csv(text) for text in row] for row in table.words)
        return out.getvalue()
    writer.writerow([table.corner, *NUMBERS])
    scales = table.subtitles or [""] * len(table.columns)
    for row in table.rows:
        for column, scale, cell in zip(table.columns, scales, row.cells, strict=True):
            value = cell.value
            numbers = [value.mean, value.spread, value.low, value.high, value.n] if value else [None] * 5
            writer.writerow([safe_csv(row.label), column.replace("×", "x"), scale.replace("×", "x"), cell.state,
                             *numbers, cell.best, cell.tied, row.undertrained])  # fmt: skip
    return out.getvalue()


def table_markdown(table: Table) -> str:
    """A heading, a pipe table, and the notes."""
    rule = "| --- |" + (" ---: |" if table.numbers else " --- |") * len(table.columns)
    lines = [f"### {escape_markdown(table.title)}", "", _pipes([table.corner, *table.heads]), rule]
    for row in table.rows:
        cells = [f"**{escape_markdown(c.text)}**" if c.bold else escape_markdown(c.words) for c in row.cells]
        lines.append("| " + " | ".join([escape_markdown(row.marked), *cells]) + " |")
    return "\n".join([*lines, "", *(escape_markdown(note) + "  " for note in table.notes)]).rstrip() + "\n"


def latex(table: Table) -> str:
    r"""A table environment for \usepackage{booktabs}."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex('. '.join([table.title, ' '.join(table.notes)]).removesuffix('. '))}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{l{('r' if table.numbers else 'l') * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(escape_latex, [table.corner, *table.heads])) + r" \\",
        r"\midrule",
    ]
    real = False
    for row in table.rows:
        if row.real and not real:
            lines.append(r"\midrule")
        real = row.real
        cells = [rf"\textbf{{{escape_latex(c.text)}}}" if c.bold else escape_latex(c.words) for c in row.cells]
        lines.append(" & ".join([escape_latex(row.marked), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def content_markdown(content: Content, *, level: int = 2, images: str | None = None) -> str:
    """A section as Markdown, what is folded in <details>. Drawings and strips only with the folder of their images."""
    lines = [f"{'#' * level} {escape_markdown(content.title)}\n"] if level else []
    for block in content.blocks:
        if isinstance(block, Content):
            inner = content_markdown(block, level=0, images=images)
            if inner.strip():
                title = escape_markdown(block.title)
                lines.append(f"<details><summary>{title}</summary>\n\n{inner}\n</details>\n")
        elif isinstance(block, Table):
            lines.append(table_markdown(block))
        elif isinstance(block, Text):
            lines.append(_text(block))
        elif images is not None and (file := block.image) is not None:
            lines.append(f"![{escape_markdown(block.alternative)}]({images}/{file})\n")
    return "\n".join(lines)


def _text(text: Text) -> str:
    if text.kind == "code":
        code = text.words if isinstance(text.words, str) else "\n".join(text.words)
        fence = "~~~"
        while fence in code:
            fence += "~"
        return f"{fence}\n{code}\n{fence}\n"
    if isinstance(text.words, str):
        words = escape_markdown(text.words)
        return {"heading": f"### {words}\n", "lead": f"**{words}**\n"}.get(text.kind, f"{words}\n")
    return "".join(f"- {escape_markdown(point)}\n" for point in text.words)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"
