"""The command line: mistakes are one sentence and exit code 2, JSON is JSON, help is light.

Long because of its table: a line per mistake that somebody can make.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rpe2d_bench import cli

HEAVY = ("torch", "ray", "mlflow", "pandas", "matplotlib", "numpy", "pydantic", "yaml")
COMMANDS = ("run", "plan", "validate", "report", "ls", "show", "check", "sample", "measure", "sync", "ui")


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Bench = Callable[..., Said]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Bench:
    """Run a command in this process, as the console script does; anything but an exit is a traceback."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["rpe2d-bench", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as ended:
            code = 0 if ended.code is None else ended.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny experiment is finished."""
    from tiny_experiment import TINY

    from rpe2d_bench import loading
    from rpe2d_bench.plan import make_plan
    from rpe2d_bench.runner import run
    from rpe2d_bench.store import Store

    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    run(make_plan(loading.load(folder / "tiny.yaml")), Store(folder / "runs"), engine="local")
    return folder / "runs"


def refused(said: Said, expected: str) -> None:
    assert said.code == 2, said
    assert said.err.startswith("error: "), said.err
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err + said.out
    assert expected in said.err


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
    ("report damaged.jsonl", "damaged.jsonl:1: not a record"),
    ("report {tiny} {tiny} {tiny} --store {store}", "report takes one or two sources, got 3"),
    ("report other.yaml --store {store}", "no records of 'other' yet"),
    ("ls encoding", "did you mean 'encodings'?"),
    ("show ntkk", "unknown name 'ntkk' (did you mean 'ntk'?)"),
    ("show glyps", "did you mean 'glyphs'?"),
    ("show qqqqqq", "rpe2d-bench ls names everything"),
    ("show absent.yaml", "no experiment file at absent.yaml"),
    ("show glyphs --set theta=3", "--set changes methods; glyphs is of the kind 'data set'"),
    ("show kid --figure a.png", "--figure draws methods; kid is of the kind 'metric'"),
    ("show ntk --grid 24", "a grid is written HEIGHTxWIDTH"),
    ("show ntk --train-grid 0x4", "a grid is written HEIGHTxWIDTH"),
    ("show ntk --set thetta=3", "did you mean 'theta'?"),
    ("show ntk --set theta", "write KEY=VALUE"),
    ("show ntk --set theta=abc", "encoding.theta"),
    ("show ntk --head-width 10", "multiple of 4, got 10"),
    ("show ntk --figure picture.txt", ".png, .svg, .pdf"),
    ("show random --grid 99x99", "max_grid 64x64 is smaller than the grid of 99x99 tokens"),
    ("check ntkk", "did you mean 'ntk'?"),
    ("check no.such:Thing", "cannot check 'no.such:Thing'"),
    ("check os:getcwd", "is no method"),
    ("sample absent.yaml --method ntk --resolution 24 --out a.png", "no such file"),
    ("sample {tiny} --method ntkk --resolution 24 --out a.png", "unknown method 'ntkk' (did you mean 'ntk'?"),
    ("sample {tiny} --method ntk --resolution 24x --out a.png", "a resolution is written 48 or HEIGHTxWIDTH"),
    ("sample {tiny} --method ntk --resolution 24 --out a.txt", "ends in .png (a grid) or .npz"),
    ("sample {tiny} --method ntk --resolution 24 --out a.png --count 0", "at least one picture"),
    ("sample {tiny} --method ntk --resolution 24 --out a.png", "rope 16px seed 0 of"),  # is not trained
    ("sample {tiny} --method rpe2d --resolution 64 --out a.png --store {store}", "max_grid 8x8 is smaller"),
    ("sample {tiny} --method ntk --resolution 25 --out a.png --store {store}", "a multiple of a token's 4 px"),
    ("show ntk --set theta=[", "the value is not YAML"),
    ("measure absent --reference absent", "no pictures at absent: it does not exist"),
    ("measure folder --reference folder --net glyphnet", "no pictures in folder"),
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
    refused(bench(*line.format(tiny=tiny, store=trained).split()), expected)
    assert sorted(tmp_path.rglob("*")) == before, "a refused command left something behind"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("nonsense", "No such command"), ("run", "Missing argument"), ("sample a.yaml", "Missing option"),
     ("show ntk --t soon", "--t"), ("plan a.yaml --jsn", "--json")],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_too(bench: Bench, line: str, expected: str) -> None:
    said = bench(*line.split())
    assert said.code == 2
    assert expected in said.err
    assert "Traceback" not in said.err


def test_a_disk_that_is_full_or_read_only_is_one_sentence(
    bench: Bench, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the failure comes from the call that would fail."""
    from rpe2d_bench import store

    def full(path: Path, data: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_json", full)
    plan = ["plan", tiny, "--store", "runs", "--only", "ntk"]
    assert bench(*plan).code == 0  # planning writes nothing
    said = bench("run", tiny, "--engine", "local", "--no-mlflow", "--only", "ntk")
    words = " ".join((said.out + said.err).split())
    assert "cannot be written (No space left on device)" in words
    assert "nothing finished is lost" in words
    assert "Traceback" not in words


def test_validate_prints_one_line(bench: Bench, tiny: Path) -> None:
    said = bench("validate", tiny)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{tiny}: valid; 3 methods on 2 models, 1 seeds\n"


def test_plan_as_json_says_what_is_cached(bench: Bench, tiny: Path, trained: Path) -> None:
    fresh = json.loads(bench("plan", tiny, "--json").out)
    assert [training["cached"] for training in fresh["trainings"]] == [False, False]
    assert fresh["cost_of_the_rest"]["train_flops"] > 0
    done = json.loads(bench("plan", tiny, "--json", "--store", trained).out)
    assert [training["cached"] for training in done["trainings"]] == [True, True]
    assert {cell["cached"] for cell in done["cells"]} == {True}
    assert done["cost_of_the_rest"]["train_flops"] == 0
    assert [training["key"] for training in done["trainings"]] == [training["key"] for training in fresh["trainings"]]
    cells = {(cell["method"], tuple(cell["test_resolution"])): cell for cell in done["cells"]}
    assert len(cells) == 9
    assert cells["ntk", (16, 16)]["coincides_with"] == ["extrapolation"]
    changed = json.loads(bench("plan", tiny, "--json", "--store", trained, "--set", "evaluate.sampler.steps=3").out)
    assert [training["cached"] for training in changed["trainings"]] == [True, True]
    assert {cell["cached"] for cell in changed["cells"]} == {False}


def test_plan_for_people_shows_cells_that_coincide(
    bench: Bench, tiny: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = bench("plan", tiny, "--store", trained)
    assert said.code == 0
    assert "trainings     2, 2 cached" in said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["1", "extrapolation", "cached", "cached", "cached"] in rows
    assert ["2", "ntk", "=", "1", "cached", "cached"] in rows
    assert "to do" in bench("plan", tiny).out


@pytest.mark.parametrize("name", ["res_generalization", "res_generalization_full", "multi_stage"])
def test_plans_fit_eighty_columns(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from rpe2d_bench import loading

    monkeypatch.setenv("COLUMNS", "80")
    file = Path(__file__).parent.parent / f"experiments/{name}.yaml"
    said = bench("plan", file).out
    lines = said[said.index("method ") :].splitlines()
    assert max(map(len, said.splitlines()[1:])) <= 80
    assert "…" not in said
    heads = [line.split()[1:] for line in lines if line.split()[:1] == ["method"]]
    asked = [test for pair in loading.load(file).resolutions for test in pair.test]
    assert sum(map(len, heads)) == len(asked)  # every size of every pair is a column, once
    for method in loading.load(file).methods:
        assert sum(line.split()[1:2] == [method] for line in lines) in (1, len(heads), len(heads) // 2)


def test_ls_as_json_lists_every_kind(bench: Bench, trained: Path) -> None:
    from rpe2d_bench import listing

    everything = json.loads(bench("ls", "--json", "--store", trained).out)
    assert set(everything) == set(listing.KINDS)
    assert {"ntk", "yarn"} <= {row["name"] for row in everything["frequencies"]}
    assert {"glyphs", "image_folder"} <= {row["name"] for row in everything["data"]}
    assert [row["experiment"] for row in everything["runs"]] == ["tiny"]
    assert everything["runs"][0]["failed"] == "0"
    assert list(json.loads(bench("ls", "metrics", "--json").out)) == ["metrics"]


def test_ls_for_people_names_everything(bench: Bench) -> None:
    said = bench("ls", "frequencies")
    assert said.code == 0
    assert "interpolated" in said.out
    assert "arXiv" in said.out


def test_colours_respect_no_color(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert coloured.search(bench("check", "ntk").out)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = bench("check", "ntk").out
    assert "pass" in plain
    assert not coloured.search(plain)
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b" not in bench("check", "ntk").out  # no terminal, no escapes


def test_check_fails_with_exit_code_1_and_names_the_demand(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_method.py").write_text(
        "from dataclasses import dataclass\nimport torch\n\n"
        "@dataclass(frozen=True)\nclass Broken:\n"
        "    def __call__(self, ctx, axis, F):\n        return -torch.ones(1, F)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = bench("check", "broken_method:Broken")
    assert said.code == 1
    assert "FAIL" in said.out
    assert bench("check", "ntk").code == 0


def test_show_tells_numbers_and_draws_them(bench: Bench, tmp_path: Path) -> None:
    said = bench("show", "interpolated", "--grid", "24x16", "--train-grid", "16x16", "--head-width", "16")
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines() if line.startswith(("height ", "width "))]
    ratios = {axis: {float(row[4]) for row in rows if row[0] == axis and row[1].isdigit()} for axis in ("height",)}
    assert ratios["height"] == {0.667}  # 16/24 on the height, nothing on the width
    assert bench("show", "random", "--figure", "positions.svg").code == 0
    assert (tmp_path / "positions.svg").read_text().lstrip().startswith("<?xml")


def test_samples_are_written_as_a_sheet_and_for_evaluators(
    bench: Bench, tiny: Path, trained: Path, tmp_path: Path
) -> None:
    from PIL import Image

    common = ("sample", tiny, "--method", "ntk", "--count", "3", "--store", trained, "--resolution", "16x24")
    assert bench(*common, "--out", "new/folder/sheet.png").code == 0
    with Image.open(tmp_path / "new/folder/sheet.png") as sheet:
        assert sheet.size == (3 * 24 + 2, 16)
    assert bench(*common, "--out", "samples.npz").code == 0
    with np.load(tmp_path / "samples.npz") as file:
        assert file["arr_0"].shape == (3, 16, 24, 3)
        assert file["arr_0"].dtype == np.uint8
    scored = bench("measure", "samples.npz", "--reference", "samples.npz", "--net", "glyphnet", "--metrics", "fd",
                   "--json")  # fmt: skip
    assert json.loads(scored.out)["values"]["fd_glyphnet"] == pytest.approx(0, abs=1e-3)


def test_ui_starts_mlflow_on_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda program, command, environment: started.append(command))
    refused(bench("ui", "--store", "elsewhere"), "rpe2d-bench sync")
    database = tmp_path / "elsewhere" / "mlflow.db"
    database.parent.mkdir()
    database.touch()
    said = bench("ui", "--store", "elsewhere", "--port", "5123")
    assert "http://127.0.0.1:5123" in said.out
    assert len(started) == 1
    assert f"sqlite:///{database}" in started[0]
    assert started[0][-2:] == ["--port", "5123"]


def test_ctrl_c_says_how_to_go_on(bench: Bench, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rpe2d_bench.session.run_experiment", interrupted)
    said = bench("run", tiny)
    assert said.code == 130
    assert "the same command continues" in said.err


def test_a_file_in_the_way_is_one_sentence(bench: Bench, tiny: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    run = ("run", tiny, "--engine", "local", "--no-mlflow")
    refused(bench(*run, "--store", "taken"), "taken")
    refused(bench(*run, "--store", "taken/below"), "taken")
    refused(bench("report", tiny, "--store", trained, "--reports", "taken"), "--reports")
    sample = ("sample", tiny, "--method", "ntk", "--resolution", "24", "--count", "2", "--store", trained)
    refused(bench(*sample, "--out", "taken/a.png"), "taken")
    assert (tmp_path / "taken").read_text() == "a file"


def test_mlflow_that_cannot_be_used_is_not_called_a_success(bench: Bench, trained: Path) -> None:
    refused(bench("sync", "--store", trained, "--tracking-uri", "ftp://nowhere"), "ftp://nowhere")


def test_a_run_with_failed_results_ends_with_exit_code_1(
    bench: Bench, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpe2d_bench.errors import UserError
    from rpe2d_bench.stages import TrainStage

    def diverged(*arguments: object) -> None:
        raise UserError("training diverged")

    monkeypatch.setattr(TrainStage, "make", diverged)
    said = bench("run", tiny, "--engine", "local", "--no-mlflow", "--only", "ntk")
    assert said.code == 1
    assert "training diverged" in " ".join(said.out.split())


def loaded_by(*arguments: str) -> tuple[str, set[str]]:
    """Output of a command in a fresh interpreter, and which heavy modules it loaded."""
    program = (
        "import sys\nfrom rpe2d_bench import cli\n"
        f"sys.argv = {['rpe2d-bench', *arguments]!r}\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    output, _, names = done.stdout.rpartition("LOADED")
    return output, set(names.split())


def test_help_loads_nothing_heavy() -> None:
    output, loaded = loaded_by("--help")
    assert not loaded
    assert all(f"  {command} " in output for command in COMMANDS)


def test_mistakes_in_yaml_answer_without_torch_ray_or_mlflow(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    _, loaded = loaded_by("validate", str(tmp_path / "broken.yaml"))
    assert not loaded & {"torch", "ray", "mlflow", "pandas", "matplotlib"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(bench: Bench, command: str) -> None:
    said = bench(command, "--help")
    assert said.code == 0
    assert f"rpe2d-bench {command}" in said.out.splitlines()[0]
    assert len(said.out.splitlines()) > 5
