"""Names of methods and models, whatever they hold, stay text in every format."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from helpers.planned import planned
from matplotlib.figure import Figure
from rich.console import Console

from rpe2d_bench.analysis.vocabulary import legend_label
from rpe2d_bench.report import formats
from rpe2d_bench.report.figures import paper_style, svg_text
from rpe2d_bench.report.table import plain

HOSTILE = [
    "[/red]",
    "[link=file:///x]y[/link]",
    "$\\frac{",
    "$\\frac{$",
    "=1+1",
    "-x",
    "@x",
    "a|b",
    "<b>&",
    "~~x~~",
    "_x",
    "![a](b)",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_keeps_one_cell_and_no_markup(name: str) -> None:
    escaped = formats.escape_markdown(name)
    for letter in "|`*_[]$~<":
        assert letter not in escaped.replace("\\" + letter, "")


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_opens_nothing(name: str) -> None:
    escaped = formats.escape_latex(name)
    assert not escaped.startswith("[")  # after \\\\ it would be a length
    for letter in "$&%#_":
        assert letter not in escaped.replace("\\" + letter, "").replace("$<$", "").replace("$>$", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_spreadsheet_runs_nothing(name: str) -> None:
    frame = pd.DataFrame({"method": [name], "value": [-1.5]})
    texts = [formats.frame_csv(frame), formats.csv_text(plain("t", "t", ("method",), [(name,)]))]
    for text in texts:
        cell = list(csv.reader(io.StringIO(text)))[1][0]
        assert cell.removeprefix("'") == name.removeprefix("'")
        assert cell[0] not in "=+-@"
    assert "-1.5" in texts[0]  # numbers stay numbers


@pytest.mark.parametrize("name", HOSTILE)
def test_figures_show_names_as_they_are(name: str) -> None:
    with paper_style():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=legend_label(name))
        legend = figure.legend()
        axes.text(0, 0, name)
    assert [text.get_text().strip() for text in legend.get_texts()] == [name]
    assert svg_text(figure)


def test_the_terminal_shows_names_as_they_are(tiny: Path, tmp_path: Path) -> None:
    from rpe2d_bench.cli import plan_view
    from rpe2d_bench.storage.store import Store

    before, written, after = tiny.read_text().partition("  ntk: {model: rope, frequencies: {kind: ntk}}\n")
    named = [written.replace("ntk", f"'{name}'", 1) for name in HOSTILE]
    tiny.write_text(before + "".join(named) + after.replace("reference_method: ntk", ""))
    console = Console(file=io.StringIO(), width=200)
    plan_view.show(planned(tiny), Store(tmp_path / "[/x]"), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert set(HOSTILE) <= {line.split()[1] for line in shown.splitlines() if len(line.split()) > 1}
    assert "[/x]" in shown
