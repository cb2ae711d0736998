"""Mistakes are one sentence and exit code 2: a line per mistake that somebody can make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.console import Bench, refused

# Arguments, and what the sentence must say. {tiny} is a valid experiment; the files are made by `mistakes`.
MISTAKES: list[tuple[str, str]] = [
    ("run absent.yaml", "absent.yaml: no such file"),
    ("run broken.yaml", "broken.yaml:2: broken YAML"),
    ("run empty.yaml", "the file is empty"),
    ("run folder", "cannot be read"),
    ("run unknown_key.yaml", "unknown_key.yaml:6: unknown key 'stepz' (did you mean 'steps'?)"),
    ("run unknown_method.yaml", "did you mean 'ntk'?"),
    ("run {tiny} --set train.stepz=1", "--set train.stepz=1: unknown key 'stepz' (did you mean 'steps'?)"),
    ("run {tiny} --set oops", "write PATH.TO.KEY=VALUE"),
    ("run {tiny} --set train.steps=[", "the value is not YAML"),
    ("run {tiny} --set resolutions.0.test=[18]", "write 16 or 20"),
    ("run {tiny} --only ntkk", "--only ntkk: no such method (did you mean 'ntk'?)"),
    ("run {tiny} --engine spark", "--engine spark: write ray or local"),
    ("plan absent.yaml", "absent.yaml: no such file"),
    ("plan unknown_method.yaml --json", "did you mean 'ntk'?"),
    ("plan {tiny} --only ntkk", "no such method"),
    ("validate absent.yaml", "absent.yaml: no such file"),
    ("validate broken.yaml", "broken.yaml:2: broken YAML"),
    ("validate unknown_key.yaml", "did you mean 'steps'?"),
    ("validate {tiny} --set train.lr=0", "train.lr: input should be greater than 0"),
    ("report", "no records at runs; run an experiment first"),
    ("report {tiny}", "no records at runs"),
    ("report absent.yaml", "absent.yaml: no such file"),
    ("report absent.jsonl", "no records at absent.jsonl"),
    ("report damaged.jsonl", "the store has no records yet"),
    ("report {tiny} {tiny} {tiny} --store {store}", "report takes one or two sources, got 3"),
    ("report tiny-00000000 --store {store}", "unknown run 'tiny-00000000'"),
    ("report other.yaml --store {store}", "no records of 'other' yet"),
    ("new absent/mine.yaml", "absent/mine.yaml cannot be written: No such file or directory; choose another place"),
    ("ls encoding", "did you mean 'encodings'?"),
    ("show ntkk", "unknown name 'ntkk' (did you mean 'ntk'?)"),
    ("show glyps", "did you mean 'glyphs'?"),
    ("show qqqqqq", "rpe2d-bench ls names everything"),
    ("show absent.yaml", "no experiment file at absent.yaml"),
    ("show glyphs --set theta=3", "--set changes methods; glyphs is of the kind 'data set'"),
    ("show kid --figure a.png", "--figure draws methods; kid is of the kind 'metric'"),
    ("show ntk --grid 24", "a grid is written HEIGHTxWIDTH"),
    ("show ntk --grid 99999x99999", "has 9,999,800,001 tokens, more than 262,144; write a smaller one"),
    ("show ntk --t nan", "--t nan: times lie between 0, data, and 1, noise"),
    ("compare-encodings ntk yarn --t 2", "--t 2: times lie between 0, data, and 1, noise"),
    ("compare-encodings ntk yarn --grid 5000x5000", "25,000,000 tokens"),
    ("status absent", "there is no store at absent"),
    ("show ntk --train-grid 0x4", "a grid is written HEIGHTxWIDTH"),
    ("show ntk --set thetta=3", "did you mean 'theta'?"),
    ("show ntk --set theta", "write KEY=VALUE"),
    ("show ntk --set theta=abc", "encoding.theta"),
    ("show ntk --head-width 10", "multiple of 4, got 10"),
    ("show ntk --figure image.txt", ".png, .svg, .pdf"),
    ("show random --grid 99x99", "max_grid 64x64 is smaller than the grid of 99x99 tokens"),
    ("check ntkk", "did you mean 'ntk'?"),
    ("check no.such:Thing", "cannot check 'no.such:Thing'"),
    ("check os:getcwd", "it is no class; a rule is a frozen dataclass with __call__"),
    ("sample absent.yaml --method ntk --resolution 24 --out a.png", "no such file"),
    ("sample {tiny} --method ntkk --resolution 24 --out a.png", "unknown method 'ntkk' (did you mean 'ntk'?"),
    ("sample {tiny} --method ntk --resolution 24x --out a.png", "a resolution is written 48 or HEIGHTxWIDTH"),
    ("sample {tiny} --method ntk --resolution 24 --out a.txt", "ends in .png (a grid) or .npz"),
    ("sample {tiny} --method ntk --resolution 24 --out a.png --count 0", "at least one image"),
    ("sample {tiny} --method ntk --resolution 24 --out a.png", "rope 16px seed 0 of"),  # is not trained
    ("sample {tiny} --method ntk --resolution 24 --out a.png --seed 7", '--only ntk --set "seeds=[7]" --store '),
    ("sample {tiny} --method rpe2d --resolution 64 --out a.png --store {store}", "max_grid 8x8 is smaller"),
    ("sample {tiny} --method ntk --resolution 25 --out a.png --store {store}", "a multiple of a token's 4 px"),
    ("export nope --out a.safetensors", "unknown experiment 'nope'"),
    ("export absent.yaml --out a.safetensors", "absent.yaml: no such file"),
    ("export absent.safetensors --format dit --out a.pt", "absent.safetensors"),
    ("export {tiny} --out a.safetensors", "--model is missing: {tiny} has rope, rpe2d; a file of weights ends with"),
    ("show ntk --set theta=[", "the value is not YAML"),
    ("measure absent --reference absent", "no images at absent: it does not exist"),
    ("measure folder --reference folder --net glyphnet", "folder has no images"),
    ("measure broken.npz --reference broken.npz --net glyphnet", "is not a readable .npz"),
    ("measure folder --reference folder --metrics kids", "did you mean 'kid'?"),
    ("measure folder --reference folder --net glyphnett", "did you mean 'glyphnet'?"),
    ("sync", "no records at runs"),
]


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_exit_code_2(
    bench: Bench, tiny: Path, tmp_path: Path, trained: Path, line: str, expected: str
) -> None:
    text = tiny.read_text()
    files = {
        "broken.yaml": "a: [1\n",
        "empty.yaml": "",
        "unknown_key.yaml": text.replace("steps: 8", "stepz: 8"),
        "unknown_method.yaml": text.replace("{kind: ntk}", "{kind: ntkk}"),
        "other.yaml": text.replace("name: tiny", "name: other"),
        "damaged.jsonl": "{}\n",
        "broken.npz": "no",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    refused(bench(*line.format(tiny=tiny, store=trained).split()), expected.replace("{tiny}", str(tiny)))
    assert sorted(tmp_path.rglob("*")) == before, "a refused command left something behind"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("nonsense", "No such command"), ("run", "Missing argument"), ("sample a.yaml", "Missing option"),
     ("show ntk --t soon", "--t"), ("plan a.yaml --jsn", "--json")],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_too(bench: Bench, line: str, expected: str) -> None:
    output = bench(*line.split())
    assert output.code == 2
    assert expected in output.err
    assert "Traceback" not in output.err


def test_a_disk_that_is_full_or_read_only_is_one_sentence(
    bench: Bench, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the failure comes from the call that would fail."""
    from rpe2d_bench.storage import store

    def full(path: Path, data: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_json", full)
    plan = ["plan", tiny, "--store", "runs", "--only", "ntk"]
    assert bench(*plan).code == 0  # planning writes nothing
    output = bench("run", tiny, "--engine", "local", "--no-mlflow", "--only", "ntk")
    words = " ".join((output.out + output.err).split())
    assert "cannot be written (No space left on device)" in words
    assert "nothing finished is lost" in words
    assert "Traceback" not in words


def test_a_disk_that_fills_up_while_a_file_is_written_is_one_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failing write, unlike the failing open, does not know its file's name."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rpe2d_bench.cli.listing.show", full)
    refused(bench("ls", "metrics"), "a file could not be written: No space left on device; choose another with --store")


def test_a_size_without_bound_is_refused_before_any_memory_is_taken(bench: Bench, tiny: Path) -> None:
    huge = ("--set", "resolutions=[{train: 16, test: [16, 40000]}]")
    for command in ("validate", "plan"):
        refused(bench(command, tiny, *huge), "40000x40000 px are 100,000,000 tokens (10,000 x 10,000, patches of 4 px)")


def test_a_terminal_without_accents_and_arrows_loses_no_command() -> None:
    program = (
        "from rpe2d_bench.cli.console import survive_narrow_encodings; survive_narrow_encodings()\n"
        "print('3 × 4 ± 1 ≈ −2 ↓ \\u4e00')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stdout.decode() == "3 x 4 +- 1 ~ -2 (lower is better) ?\n"
