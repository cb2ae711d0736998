"""Reports use records, files and comparisons that can be vouched for, and name what they leave out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.planned import planned

from rpe2d_bench.analysis.kept_comparison import FOLDER
from rpe2d_bench.analysis.significance import separate
from rpe2d_bench.analysis.verified import verified
from rpe2d_bench.report.folder import MANIFEST, changed_file, write_report
from rpe2d_bench.runner import run
from rpe2d_bench.storage import record_lines, records
from rpe2d_bench.storage.records import RECORDS_FILE, Record
from rpe2d_bench.storage.store import Store

FEW = 50  # resamples


@pytest.fixture(scope="module")
def compared(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny experiment is done and compared."""
    store = shutil.copytree(finished[1], tmp_path_factory.mktemp("compared") / "runs")
    separate(records.read(store), store, FEW)
    return store


@pytest.fixture
def done(finished: tuple[Path, Path], compared: Path, tmp_path: Path) -> tuple[Path, Store]:
    return finished[0], Store(shutil.copytree(compared, tmp_path / "runs"))


def again(experiment: Path, store: Store) -> list[Record]:
    return run(planned(experiment), store, engine="local")


def metrics(found: list[Record]) -> dict[tuple[object, ...], dict[str, float]]:
    return {record.identity: record.metrics for record in found}


def forged(store: Store) -> int:
    """Change a number in every measured record and stamp it anew, as no accident does; returns how many."""
    path = store.root / RECORDS_FILE
    lines, count = [], 0
    for line in record_lines.read(path):
        document = dict(line.document or {})
        if document["stage"] == "measure":
            document["metrics"] = {name: value + 1 for name, value in document["metrics"].items()}
            count += 1
        lines.append(record_lines.line_of(document))
    path.write_bytes(b"".join(lines))
    return count


def test_a_report_shows_what_stages_hold_and_a_run_writes_it_again(done: tuple[Path, Store]) -> None:
    experiment, store = done
    true = metrics(records.read(store.root))
    count = forged(store)
    assert metrics(records.read(store.root)) != true
    output: list[str] = []
    assert metrics(verified(records.read(store.root), store, output.append)) == true
    assert sum("is not what its stage holds" in sentence for sentence in output) == count
    again(experiment, store)
    assert metrics(records.read(store.root)) == true
    output.clear()
    verified(records.read(store.root), store, output.append)
    assert output == []


def test_a_damaged_line_is_made_again_by_a_run(done: tuple[Path, Store]) -> None:
    experiment, store = done
    true = metrics(records.read(store.root))
    path = store.root / RECORDS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    assert b'"stage":"configuration"' not in lines[3]
    lines[3] = lines[3].replace(b'"metrics":{"', b'"metrics":{"x')
    path.write_bytes(b"".join(lines))
    assert len(records.read(store.root, lambda _: None)) == len(true) - 1
    again(experiment, store)
    assert metrics(records.read(store.root)) == true
    assert record_lines.rejected_file(path).read_bytes() == lines[3]
    assert f"{path}:4 does not match its digest" in (store.root / "progress" / "notices.log").read_text()


def test_damaged_samples_are_left_out_of_a_report_and_made_again_by_a_run(done: tuple[Path, Store]) -> None:
    experiment, store = done
    file = next(iter(sorted(store.root.glob("stages/sample/*/samples.npz"))))
    sound = file.read_bytes()
    file.write_bytes(sound[:100] + bytes([sound[100] ^ 1]) + sound[101:])
    output: list[str] = []
    found = verified(records.read(store.root), store, output.append)
    path = store.relative(file)
    assert output == [
        f"{path}: samples.npz does not match its checksum; the report leaves it out until `run` makes it again"
    ]
    assert path not in {artifact for record in found for artifact in record.artifacts.model_dump().values()}
    again(experiment, store)
    assert store.damage_of(file) is None


def test_what_was_compared_before_outlives_its_observations(done: tuple[Path, Store]) -> None:
    _, store = done
    found = records.read(store.root)
    before = separate(found, store.root, FEW)
    assert before
    for file in store.root.glob("stages/*/*/observations.npz"):
        file.unlink()
    output: list[str] = []
    assert separate(found, store.root, FEW, output.append) == before
    assert output == []
    shutil.rmtree(store.root / FOLDER)
    assert separate(found, store.root, FEW, output.append) == []
    assert output
    assert all(
        "observations.npz is missing" in sentence and "left out of the comparisons" in sentence for sentence in output
    )


@pytest.mark.parametrize("damage", ["digit", "cut", "no digest"])
def test_a_comparison_that_is_not_as_it_was_written_is_worked_out_again(done: tuple[Path, Store], damage: str) -> None:
    _, store = done
    found = records.read(store.root)
    before = separate(found, store.root, FEW)
    files = sorted((store.root / FOLDER).glob("*.json"))
    for file in files:
        content = json.loads(file.read_text())
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:-30])
            continue
        for entry in content["entries"]:
            entry["difference"] += 1
        file.write_text(json.dumps(content if damage == "digit" else content["entries"]))
    output: list[str] = []
    assert separate(found, store.root, FEW, output.append) == before
    assert len(output) == len(files)
    assert all("is not as it was written; worked out again" in sentence for sentence in output)


def test_a_changed_file_of_a_report_is_made_again(
    done: tuple[Path, Store], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, store = done
    found = records.read(store.root)
    compared = separate(found, store.root, FEW)
    out = tmp_path / "report"
    write_report(found, store.root, out, compared)
    assert changed_file(out) is None
    inode = out.stat().st_ino
    write_report(found, store.root, out, compared)
    assert out.stat().st_ino == inode  # as it is, nothing is drawn again
    for name in (MANIFEST, "comparisons.json", "index.html", "report.md"):
        file = out / name
        sound = file.read_bytes()
        place = sound.rindex(b"1")
        file.write_bytes(sound[:place] + b"2" + sound[place + 1 :])
        assert changed_file(out) is not None, name
        if name != "report.md":
            file.write_bytes(sound)
            assert changed_file(out) is None
    write_report(found, store.root, out, compared)
    assert changed_file(out) is None
    assert file.read_bytes() == sound
    assert "is not as it was written; the report is made again" in caplog.text


@pytest.fixture
def read_only(done: tuple[Path, Store], tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "test", str(disk)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(done[1].root, disk / "runs")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk / "runs"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.name != "posix" or shutil.which("mount") is None, reason="needs mount")
def test_a_finished_store_that_cannot_be_written_still_reports(
    done: tuple[Path, Store], read_only: Path, tmp_path: Path
) -> None:
    from rpe2d_bench.cli.console import Opening, open_console
    from rpe2d_bench.cli.listing import as_dict
    from rpe2d_bench.cli.session import run_experiment, write_reports

    experiment = done[0]
    options = {"store": read_only, "engine": "local", "tracking_uri": "", "reports": tmp_path / "reports"}
    run_experiment(experiment, (), (), opening=Opening(open_console()), **options)  # type: ignore[arg-type]
    page = tmp_path / "reports" / "tiny" / "index.html"
    assert page.is_file()
    shutil.rmtree(page.parent)
    write_reports([], read_only, tmp_path / "reports")
    assert page.is_file()
    assert [row["experiment"] for row in as_dict("runs", read_only)["runs"]] == ["tiny"]
