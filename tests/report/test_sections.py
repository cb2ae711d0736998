"""A section from another package stands on the page; a broken one is named there and disturbs nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.installed import bench, plug_in
from helpers.synthetic_records import METHODS, make_records

from rpe2d_bench.config.header import question
from rpe2d_bench.storage.records import lines_of

SECTION = """
from rpe2d_bench.report import Content, Text, plain

def build(results, store):
    words = Text(f"{len(results.methods)} methods, counted from outside <b>")
    return Content("Counted outside", (words, plain("outside", "Outside", ("method", "count"), [("yarn", "1")])))

SECTIONS = {"counted": build}
"""
RAISES = "SECTIONS = {'raises': lambda results, store: 1 / 0}\n"
NOT_CONTENT = "SECTIONS = {'words': lambda results, store: 'words'}\n"
SMALL = {name: METHODS[name] for name in ("yarn", "rpe2d")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a process that has four such packages on its path, as an installer leaves them."""
    place = tmp_path_factory.mktemp("installed")
    sources = {
        "outside": SECTION,
        "raises": RAISES,
        "not_content": NOT_CONTENT,
        "cannot_import": "import nowhere_at_all",
    }
    for name, source in sources.items():
        plug_in(place, "rpe2d_bench.report_sections", f"report_{name}", source)
    records = make_records(seeds=(0, 1), tests=[(32, 32), (48, 48)], methods=SMALL)
    (place / "records.jsonl").write_bytes(b"".join(lines_of(records)))
    bench(place, place, "report", "records.jsonl", "--reports", ".").check_returncode()
    return place / "synthetic"


def test_a_section_of_another_package_is_on_every_surface(report: Path) -> None:
    page, text = (report / "index.html").read_text(), (report / "report.md").read_text()
    assert '<section id="counted">' in page
    assert "2 methods, counted from outside &lt;b&gt;" in page
    assert "## Counted outside" in text
    assert "| yarn | 1 |" in text
    assert (report / "tables" / "outside.csv").read_text() == "method,count\nyarn,1\n"


def test_broken_sections_are_named_and_left_out(report: Path) -> None:
    page, text = (report / "index.html").read_text(), (report / "report.md").read_text()
    for words in (
        "report section 'raises' of report_raises: ZeroDivisionError",
        "it returns str, not",
        "nowhere_at_all",
    ):
        assert words in text.replace("\\_", "_")
        assert words in page.replace("&#39;", "'")
    assert '<section id="raises">' not in page
    assert json.loads((report / "report.json").read_text())["experiment"] == "synthetic"


def test_the_question_is_read_from_the_header(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "# Question: does it\n#           hold? Two notes.\n# Run:      rpe2d-bench run mine.yaml\nname: mine\n"
    )
    assert question(file) == "Does it hold?"
    file.write_text("name: mine\n")
    assert question(file) is None
    assert question(tmp_path / "absent.yaml") is None
