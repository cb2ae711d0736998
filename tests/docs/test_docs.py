"""Documents are true: commands parse, experiments validate, links and files exist, the notebook runs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from helpers.documents import ROOT, anchors, bench_commands, blocks, links, named_files, shell_lines, words

from rpe2d_bench import cli
from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.image_folder.dataset import ImageFolderOptions
from rpe2d_bench.resolve.load import load_experiment

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(arguments: list[str]) -> None:
    """Raises what the command line would say of wrong commands, options and types; runs nothing."""
    group: Any = typer.main.get_command(cli.app)
    if arguments[0] in ("-h", "--help", "--install-completion", "--show-completion"):
        return
    command = group.commands.get(arguments[0])
    assert command is not None, f"there is no command {arguments[0]!r}"
    if "--help" not in arguments and len(arguments) > 1:
        folders = [argument.removeprefix("s3://bucket/") for argument in arguments]  # an address would be reached
        command.make_context(arguments[0], folders[1:])


@pytest.mark.parametrize("document", [*DOCUMENTS, *EXPERIMENTS], ids=name)
def test_every_command_parses(document: Path) -> None:
    for arguments in bench_commands(document):
        try:
            parse(arguments)
        except Exception as error:
            raise AssertionError(f"rpe2d-bench {' '.join(arguments)}: {error}") from error


@pytest.mark.parametrize("arguments", [["rnu", "a.yaml"], ["run", "a.yaml", "--stor", "x"], ["sample", "a.yaml"],
                                       ["show", "ntk", "--t", "soon"]])  # fmt: skip
def test_a_wrong_command_would_be_noticed(arguments: list[str]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - typer has several
        parse(arguments)
    assert str(raised.value)


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        'Say `rpe2d-bench ls\nmetrics`.\n\n```sh\nA=b rpe2d-bench run x.yaml --set "a.b=[1, 2]"  # and why\nls\n'
        ".venv/bin/rpe2d-bench ui\n```\n"
    )
    assert sorted(bench_commands(page)) == [["ls", "metrics"], ["run", "x.yaml", "--set", "a.b=[1, 2]"], ["ui"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_and_every_named_file_exists(document: Path) -> None:
    absent = [target for target in links(document) if not (document.parent / target).exists()]
    absent += [path for path in named_files(document) if not (ROOT / path).exists()]
    assert not absent


def test_anchors_of_generated_pages_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(#([^)]+)\)", document.read_text()):
            assert target in anchors(document), f"{name(document)}#{target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_targets_and_modules_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [*shell_lines(document), *re.findall(r"`([^`\n]+)`", document.read_text())]
    for line in code:
        if re.match(r"make [a-z-]+$", line.partition("#")[0].strip()):
            assert words(line)[1] in targets, line
        if found := re.match(r"(?:\S*/)?python -m (rpe2d_bench[\w.]*|benchmarks[\w.]*|baselines[\w.]*)", line):
            assert importlib.util.find_spec(found[1]), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_experiments_in_documents_are_valid(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photographs").mkdir()
    # The reader's photographs are not here
    monkeypatch.setattr(ImageFolderOptions, "build", lambda self: GlyphOptions().build())
    for block in blocks(document, "yaml"):
        if "pipeline:" in block.text and "schema_version" in block.text:  # nor is the reader's pipeline
            Experiment.model_validate(yaml.safe_load(block.text))
        elif "schema_version" in block.text:
            (tmp_path / "experiment.yaml").write_text(block.text)
            load_experiment(tmp_path / "experiment.yaml")


def test_the_citation_is_valid() -> None:
    from rpe2d_bench.storage.records import provenance

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert cited["version"] == provenance().packages["rpe2d-bench"]
    assert f"## {cited['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_each_recipe_has_at_most_ten_steps() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for title in ("Add an encoding", "Add a data set", "Add a metric"):
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        steps = [int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)]
        assert steps == list(range(1, len(steps) + 1))
        assert 3 <= len(steps) <= 10


def fill_tables() -> Any:
    spec = importlib.util.spec_from_file_location("fill_tables", ROOT / "scripts" / "fill_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed_reports(place: Path) -> Path:
    """The reports of the last commit, laid below a folder; where there is no repository, the place of those at hand."""
    command = ["git", "-C", str(ROOT), "archive", "HEAD", "reports"]
    archive = subprocess.run(command, capture_output=True)
    if archive.returncode:
        return ROOT
    subprocess.run(["tar", "x", "-C", str(place)], input=archive.stdout, check=True)
    return place


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if "<!-- table " in d.read_text()], ids=name)
def test_tables_are_what_their_records_say(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the reports as they lie there or, where `make run` has just made them anew, as they were committed."""
    text, found = document.read_text(), []
    for reports in (ROOT, committed_reports(tmp_path)):
        monkeypatch.chdir(reports)
        found.append(fill_tables().filled(text))
    assert text in found, f"python scripts/fill_tables.py {name(document)}"


def test_a_table_that_was_changed_by_hand_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- table reports/res_generalization metric=kid_glyphnet methods=rpe2d_no_crops -->\n<!-- end of table -->\n"
    )
    fill = fill_tables()
    fill.main([str(page)])
    fill.main(["--check", str(page)])
    (number,) = set(re.findall(r"\| rpe2d_no_crops[^|]*\| ([\d.]+) ±", page.read_text()))
    page.write_text(page.read_text().replace(number, "0.01", 1))
    with pytest.raises(SystemExit, match=r"page\.md"):
        fill.main(["--check", str(page)])
