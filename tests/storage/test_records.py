"""Records survive kills, are read newest first, and one bad line costs only itself."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import subprocess
from pathlib import Path

import pytest
from helpers.tiny_experiment import CONFIG
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage import record_lines, records
from rpe2d_bench.storage.records import RECORDS_FILE, Record


def a_record(**changes: object) -> Record:
    return Record.model_validate(
        {"stage": "measure", "experiment": "e", "run": "r", "key": "k", "method": "m", "seed": 0, "config": CONFIG}
        | changes
    )


def seeds_of(store: Path, output: list[str] | None = None) -> list[int | None]:
    return [record.seed for record in records.read(store, (output if output is not None else []).append)]


def three(store: Path) -> tuple[Path, list[bytes]]:
    """A file of three records, and what it holds of each; before the first stand the two lines that all three name."""
    for seed in range(3):
        records.append(store, a_record(seed=seed, metrics={"kid": 1.25}))
    path = store / RECORDS_FILE
    shared, first, again, *others = path.read_bytes().splitlines(keepends=True)
    assert shared == again
    lines = [shared + again + first, *others]
    path.write_bytes(b"".join(lines))
    return path, lines


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = a_record(metrics={"kid": 0.1 + 0.2}, test_resolution=(32, 64), provenance=records.provenance())
    records.append(tmp_path, record)
    assert records.read(tmp_path) == [record]


def test_the_newest_of_an_identity_counts(tmp_path: Path) -> None:
    records.append(tmp_path, a_record(metrics={"kid": 1.0}))
    records.append(tmp_path, a_record(seed=1))
    records.append(tmp_path, a_record(metrics={"kid": 2.0}))
    assert [record.metrics for record in records.read(tmp_path)] == [{"kid": 2.0}, {}]


@given(cut=st.integers(min_value=1, max_value=400))
def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    records.append(folder, a_record(seed=0))
    records.append(folder, a_record(seed=1))
    path = folder / RECORDS_FILE
    whole = path.read_bytes()
    second = whole.rindex(b"\n", 0, -1) + 1
    torn = whole[: max(second, len(whole) - cut)]
    path.write_bytes(torn)
    there = [0, 1] if cut == 1 else [0]  # without its line feed it is whole
    assert seeds_of(folder) == there
    records.append(folder, a_record(seed=2))
    assert seeds_of(folder) == [*there, 2]
    if there == [0] and torn[second:]:
        assert record_lines.rejected_file(path).read_bytes() == torn[second:] + b"\n"


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_found_wherever_it_is(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    path, lines = three(folder)
    text = bytearray(lines[1])
    text[place % (len(text) - 1)] ^= 1 << bit
    path.write_bytes(lines[0] + bytes(text) + lines[2])
    output: list[str] = []
    found = {record.seed: record.metrics for record in records.read(folder, output.append)}
    assert found.get(0) == found.get(2) == {"kid": 1.25}
    assert found.get(1, {"kid": 1.25}) == {"kid": 1.25}  # left out, or, where the bit is not of a value, as it was
    assert bool(output) == (1 not in found)
    assert all(f"{path}:4 " in sentence or f"{path}:5 " in sentence for sentence in output)


HOSTILE = {
    "half a line in another": b'{"schema_version":1,"stage":"mea{"schema_version":1,"stage":"train"}\n',
    "zeros": bytes(500) + b"\n",
    "not UTF-8": b"\xff\xfe\x00broken\n",
    "no object": b"[1, 2]\n",
    "no record": b'{"sead": 1}\n',
    "deep": b"[" * 100_000 + b"\n",
    "a number of 5,001 digits": b'{"seed": ' + b"1" * 5001 + b"}\n",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_line_that_is_no_record_is_named_and_set_aside(tmp_path: Path, line: bytes) -> None:
    path, lines = three(tmp_path)
    path.write_bytes(lines[0] + line + b"\n" + lines[2] + lines[1])
    output: list[str] = []
    assert seeds_of(tmp_path, output) == [0, 2, 1]
    assert len(output) == 1
    assert f"{path}:4 " in output[0]
    records.set_aside(tmp_path, output.append)
    assert "records.rejected.jsonl" in output[1]
    assert record_lines.rejected_file(path).read_bytes() == line
    assert path.read_bytes() == lines[0] + lines[2] + lines[1]  # what is whole keeps its bytes
    assert seeds_of(tmp_path, output) == [0, 2, 1]
    assert len(output) == 2


def test_zeros_of_a_lost_page_before_a_record_do_not_cost_it(tmp_path: Path) -> None:
    path, lines = three(tmp_path)
    path.write_bytes(lines[0] + bytes(300) + lines[1] + lines[2])
    assert seeds_of(tmp_path) == [0, 1, 2]


def test_a_line_without_end_is_left_out_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_lines, "LONGEST", 4096)
    path, lines = three(tmp_path)
    path.write_bytes(lines[0] + b'"' * 50_000 + b"\n" + lines[2])
    output: list[str] = []
    assert seeds_of(tmp_path, output) == [0, 2]
    assert "is 50001 bytes long" in output[0]
    records.set_aside(tmp_path, output.append)
    assert record_lines.rejected_file(path).stat().st_size == 50_001


def test_no_character_of_a_name_ends_a_line(tmp_path: Path) -> None:
    names = ["a\u2028b", "a\x85b", "a\x0bb\x0c\x1c\x1d\x1e", "a\rb", "naïve 方法"]
    for name in names:
        records.append(tmp_path, a_record(method=name))
    assert [record.method for record in records.read(tmp_path)] == names
    older = [a_record(method=name).model_dump_json() + "\n" for name in names]  # as they were written before
    (tmp_path / RECORDS_FILE).write_text("".join(older), encoding="utf-8")
    assert [record.method for record in records.read(tmp_path)] == names


UNCLEAR = {"counts": {"generated": 1, "reference": 1}, "psnr": math.nan}


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_metric_that_is_no_number_fails_its_record_and_no_other(tmp_path: Path, value: float | None) -> None:
    record = a_record(metrics={"kid": value, "accuracy": 0.5}, measurement=UNCLEAR)
    assert (record.status, record.error) == ("failed", "not a number: kid")
    assert record.metrics == {"accuracy": 0.5}
    records.append(tmp_path, record)
    older = {"schema_version": 1, "stage": "measure", "experiment": "e", "run": "r", "key": "k", "seed": 5}
    with (tmp_path / RECORDS_FILE).open("a") as file:
        file.write(json.dumps(older | {"config": CONFIG, "metrics": {"kid": None}}) + "\n")
    first, second = records.read(tmp_path)
    assert first.metrics == {"accuracy": 0.5}
    assert (second.seed, second.status, second.error) == (5, "failed", "not a number: kid")


def test_lines_without_a_digest_are_read_and_stay(tmp_path: Path) -> None:
    path = tmp_path / RECORDS_FILE
    older = (a_record(seed=7).model_dump_json() + "\n").encode()
    path.write_bytes(older)
    records.append(tmp_path, a_record(seed=8))
    records.set_aside(tmp_path, lambda sentence: pytest.fail(sentence))
    assert seeds_of(tmp_path) == [7, 8]
    assert path.read_bytes().startswith(older)


def test_what_a_later_version_wrote_is_named_and_left_where_it_is(tmp_path: Path) -> None:
    path, lines = three(tmp_path)
    document = json.loads(lines[1]) | {"a field of tomorrow": 1}
    document.pop("sha256")
    path.write_bytes(lines[0] + record_lines.line_of(document) + lines[2])
    output: list[str] = []
    records.set_aside(tmp_path, output.append)
    assert output == []
    assert seeds_of(tmp_path, output) == [0, 2]
    assert "not a record of this version (a field of tomorrow" in output[0]


def _write_many(store: str, first: int) -> None:
    for seed in range(first, first + 25):
        records.append(Path(store), a_record(seed=seed))
        if seed % 5 == 0:
            records.set_aside(Path(store), lambda _: None)


def test_writers_at_once_lose_nothing_while_lines_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / RECORDS_FILE).write_bytes(b"broken\n" * 3)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(tmp_path), 100 * n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    output: list[str] = []
    assert sorted(seed or 0 for seed in seeds_of(tmp_path, output)) == [
        100 * n + k for n in range(4) for k in range(25)
    ]
    assert output == []
    assert record_lines.rejected_file(tmp_path / RECORDS_FILE).read_bytes() == b"broken\n" * 3


def test_without_a_listener_damage_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, lines = three(tmp_path)
    path.write_bytes(lines[0] + lines[1].replace(b"1.25", b"1.26") + lines[2])
    with caplog.at_level(logging.WARNING):
        assert [record.seed for record in records.read(tmp_path)] == [0, 2]
    assert f"{path}:4 does not match its digest" in caplog.text


def test_a_store_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run an experiment first"):
        records.read(tmp_path)


def test_the_latest_run_is_that_of_the_newest_record() -> None:
    old = a_record(run="old", created="2026-01-01T00:00:00+00:00")
    new = a_record(run="new", created="2026-01-02T00:00:00+00:00", experiment="f")
    assert records.latest_run([new, old]) == "new"
    assert records.latest_run([new, old], "e") == "old"
    assert records.latest_run([], None) is None


def test_a_record_says_whether_code_differs_from_its_commit(tmp_path: Path) -> None:
    assert all((records.ROOT / name).exists() for name in records.CODE)  # it looks where the code is

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    code, report = tmp_path / "rpe2d_bench" / "loop.py", tmp_path / "reports" / "page.md"
    for file in (code, report):
        file.parent.mkdir()
        file.write_text("one\n")
    assert records.commit_of(tmp_path / "rpe2d_bench") == (None, False)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit = git("rev-parse", "HEAD")
    assert records.commit_of(tmp_path) == (commit, False)
    report.write_text("two\n")
    records.commit_of.cache_clear()
    assert records.commit_of(tmp_path) == (commit, False)
    code.write_text("two\n")
    records.commit_of.cache_clear()
    assert records.commit_of(tmp_path) == (commit, True)
