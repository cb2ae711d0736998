"""A report of many cells stays one that opens: what it leaves out of the page is said, and lies beside it."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import re
from pathlib import Path

import pytest
from helpers.synthetic_records import METHODS, make_records

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report import chosen_images, drawing, page, render, table
from rpe2d_bench.report.chosen_images import FEW, shown
from rpe2d_bench.report.content import Text
from rpe2d_bench.report.images import Strips
from rpe2d_bench.report.sections import samples
from rpe2d_bench.report.table import Cell, Row, Table
from rpe2d_bench.storage.records import Record

TRAIN = (32, 32)


def unpacked(text: str, name: str) -> str:
    """A compressed file inside a page."""
    (found,) = re.findall(rf'download="{re.escape(name)}" href="data:application/gzip;base64,([^"]+)"', text)
    return gzip.decompress(base64.b64decode(found)).decode()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Path]:
    """Records, and the folder of a report of them that leaves nothing out of its page."""
    records = make_records(seeds=(0, 1), tests=[(16, 16), TRAIN], methods={"yarn": METHODS["yarn"]})
    folder = tmp_path_factory.mktemp("report")
    return records, render(records, folder, folder / "small").parent


def test_a_large_table_is_cells_and_a_packed_csv_and_says_where_the_rest_is(
    report: tuple[list[Record], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, small = report[0], (report[1] / "index.html").read_text()
    monkeypatch.setattr(table, "LARGE", 1)
    monkeypatch.setattr(page, "EMBEDDED", 1000)
    out = render(records, tmp_path, tmp_path / "large").parent
    large = (out / "index.html").read_text()
    assert "95 % interval" in re.sub(r"<p>.*?</p>", "", small)
    assert ", 95 % interval" not in re.sub(r"<p>.*?</p>", "", large)
    assert "LaTeX and Markdown beside this page: tables/kid_glyphnet_train_32.*" in large
    for name in ("tables/kid_glyphnet_train_32.csv", "results.csv"):
        inside = "synthetic-results.csv" if name == "results.csv" else "kid_glyphnet_train_32.csv"
        assert unpacked(large, f"{inside}.gz") == (out / name).read_text()
        assert f'download="{inside}"' in small
    assert (out / "tables" / "kid_glyphnet_train_32.tex").is_file()


def test_equal_texts_are_packed_alike() -> None:
    long = Table("t", "t", ["a"], [Row("x", [Cell("1")])] * (table.LARGE + 1))
    assert page._files_of_table(long) == page._files_of_table(long)
    assert next(csv.reader(io.StringIO(page.formats.csv_text(long)))) == ["method", "a"]


def test_a_figure_that_would_weigh_more_than_its_png_is_one_on_the_page(
    report: tuple[list[Record], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, small = report
    monkeypatch.setattr(drawing, "LARGEST", 1000)
    large = render(records, tmp_path, tmp_path / "large").parent
    before, after = ((folder / "index.html").read_text() for folder in (small, large))
    assert '<svg class="figure"' not in after
    words = re.findall(r'<svg class="figure" role="img" aria-label="([^"]+)"', before)
    assert words == re.findall(r'<img class="figure" alt="([^"]+)"', after)
    files = [sorted(file.name for file in (folder / "figures").iterdir()) for folder in (small, large)]
    assert files[0] == files[1]


def test_of_many_samples_a_stated_part_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(16, 16), (24, 24), TRAIN, (40, 40), (48, 48)]
    results = Results(make_records(tmp_path, seeds=(0,), tests=sizes))
    assert shown(results, TRAIN).methods == list(METHODS)
    assert shown(results, TRAIN).tests == sizes
    monkeypatch.setattr(chosen_images, "MOST", 10)
    monkeypatch.setattr(chosen_images, "FEW", (3, 2, 4))
    part = shown(results, TRAIN)
    assert part.methods == ["extrapolation", "interpolation", "yarn"]  # the reference is yarn
    assert part.tests == [(16, 16), TRAIN, (48, 48)]
    content = samples.build(results, tmp_path)
    (strips,) = (block for block in content.blocks if isinstance(block, Strips))
    assert [row.method for row in strips.rows] == [None, *part.methods]
    assert {len(strip.labels) for row in strips.rows for strip in row.strips.values()} == {4}
    words = [block.words for block in content.blocks if isinstance(block, Text)]
    assert any("Shown are 3 of 6 methods" in str(text) and "at 3 of 5 sizes" in str(text) for text in words)


def test_a_part_is_never_more_than_everything() -> None:
    many, sizes, _ = FEW
    assert (many + 1) * (sizes + 1) <= chosen_images.MOST
