"""What the commands print and write: JSON is JSON, tables fit the terminal, failures have exit codes."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.console import Bench, refused


def test_validate_prints_what_was_found(bench: Bench, tiny: Path) -> None:
    output = bench("validate", tiny)
    assert (output.code, output.err) == (0, "")
    assert output.out == f"{tiny}: valid; 3 methods on 2 models, 1 seeds\n" + (
        "data: 10 classes: train 20,000, validation endless, test endless\n"
    )


def test_a_training_that_ends_before_its_rate_is_reached_is_noted(bench: Bench, tiny: Path) -> None:
    short = (tiny, "--set", "train.warmup=10")
    sentence = "rope, rpe2d: 8 steps never reach lr 0.001 (warmup 10, decay 0.3)"
    assert bench("validate", *short).out.endswith(f"\nnote: {sentence}\n")
    assert f"  note          {sentence}\n" in bench("plan", *short).out
    assert json.loads(bench("plan", *short, "--json").out)["warnings"] == [sentence]
    assert json.loads(bench("plan", tiny, "--json").out)["warnings"] == []


def test_an_override_that_a_later_one_replaces_is_noted(bench: Bench, tiny: Path) -> None:
    output = bench("plan", tiny, "--json", "--set", "train.steps=4", "--set", "train.steps=5", "--set", "train.lr=0.1")
    assert output.err == "note: --set train.steps=5 replaces --set train.steps=4\n"
    assert json.loads(output.out)["trainings"]
    whole = "train={steps: 6, batch_size: 8}"
    output = bench("validate", tiny, "--set", "train.lr=0.1", "--set", whole)
    assert output.err == f"note: --set {whole} replaces --set train.lr=0.1\n"
    assert bench("validate", tiny, "--set", whole, "--set", "train.steps=7").err == ""
    assert "theta=4 replaces --set theta=3" in bench("show", "ntk", "--set", "theta=3", "--set", "theta=4").err


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
    output = bench("plan", tiny, "--store", trained)
    assert output.code == 0
    assert "trainings     2, 2 cached" in output.out
    rows = [line.split() for line in output.out.splitlines()]
    assert ["1", "extrapolation", "cached", "cached", "cached"] in rows
    assert ["2", "ntk", "=", "1", "cached", "cached"] in rows
    assert "to do" in bench("plan", tiny).out


def test_a_cell_of_which_only_the_denoising_error_is_shared_is_still_to_do(bench: Bench) -> None:
    """A sampler's shift changes samples, not the denoising error of real images."""
    output = bench("plan", "res_generalization_seeds")
    rows = [line.split() for line in output.out.splitlines()]
    assert ["4", "interpolation_shifted", "=", "1", "to", "do", "to", "do"] in rows


@pytest.mark.parametrize("name", ["res_generalization", "res_generalization_full", "multi_stage"])
def test_plans_fit_eighty_columns(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from rpe2d_bench.resolve.load import load_experiment

    monkeypatch.setenv("COLUMNS", "80")
    file = Path(__file__).parents[2] / f"experiments/{name}.yaml"
    output = bench("plan", file).out
    lines = output[output.index("method ") :].splitlines()
    ours = [line for line in output.splitlines()[1:] if not line.lstrip().startswith("note")]  # a note is the machine's
    assert max(map(len, ours)) <= 80
    assert "…" not in output
    heads = [line.split()[1:] for line in lines if line.split()[:1] == ["method"]]
    asked = [test for pair in load_experiment(file).resolutions for test in pair.test]
    assert sum(map(len, heads)) == len(asked)  # every size of every pair is a column, once
    for method in load_experiment(file).methods:
        assert sum(line.split()[1:2] == [method] for line in lines) in (1, len(heads), len(heads) // 2)


def test_ls_as_json_lists_every_kind(bench: Bench, trained: Path) -> None:
    from rpe2d_bench.cli import listing

    everything = json.loads(bench("ls", "--json", "--store", trained).out)
    assert set(everything) == set(listing.KINDS)
    assert {"ntk", "yarn"} <= {row["name"] for row in everything["frequencies"]}
    assert {"glyphs", "image_folder"} <= {row["name"] for row in everything["data"]}
    assert [row["experiment"] for row in everything["runs"]] == ["tiny"]
    assert everything["runs"][0]["failed"] == "0"
    assert list(json.loads(bench("ls", "metrics", "--json").out)) == ["metrics"]


def test_ls_for_people_names_everything(bench: Bench) -> None:
    output = bench("ls", "frequencies")
    assert output.code == 0
    assert "interpolated" in output.out
    assert "arXiv" in output.out


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
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = bench("check", "broken_method:Broken")  # from the folder that one works in, with nothing installed
    assert output.code == 1
    assert "FAIL" in output.out
    assert bench("check", "ntk").code == 0


def test_show_tells_numbers_and_draws_them(bench: Bench, tmp_path: Path) -> None:
    output = bench("show", "interpolated", "--grid", "24x16", "--train-grid", "16x16", "--head-width", "16")
    assert output.code == 0
    rows = [line.split() for line in output.out.splitlines() if line.startswith(("height ", "width "))]
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
        assert file["arr_1"].tolist() == [0, 1, 2]
    assert bench(*common, "--out", "CAPITALS.NPZ").code == 0
    judged = bench("measure", "CAPITALS.NPZ", "--reference", "samples.npz", "--net", "glyphnet", "--judge",
                   "glyphjudge", "--metrics", "accuracy", "--json")  # fmt: skip
    assert 0 <= json.loads(judged.out)["values"]["accuracy_glyphjudge"] <= 1
    (kept, *_) = sorted((trained / "stages" / "sample").glob("*/samples.npz"))
    again = bench("measure", kept, "--reference", kept, "--net", "glyphnet", "--metrics", "fd", "--json")
    assert json.loads(again.out)["values"]["fd_glyphnet"] == pytest.approx(0, abs=1e-3)
    scored = bench("measure", "samples.npz", "--reference", "samples.npz", "--net", "glyphnet", "--metrics", "fd",
                   "--json")  # fmt: skip
    assert json.loads(scored.out)["values"]["fd_glyphnet"] == pytest.approx(0, abs=1e-3)


def test_ui_starts_mlflow_on_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []

    class Server:
        stdin = io.BytesIO()

        def __init__(self, command: list[str], **options: object) -> None:
            if "uname" not in command:  # not what the standard library asks of the system (platform runs uname)
                started.append(command)

        def communicate(self, *_: object, **__: object) -> tuple[str, str]:
            return "", ""

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("rpe2d_bench.tracking.ui.subprocess.Popen", Server)
    refused(bench("ui", "--store", "elsewhere"), "rpe2d-bench sync")
    database = tmp_path / "elsewhere" / "mlflow.db"
    database.parent.mkdir()
    database.touch()
    output = bench("ui", "--store", "elsewhere", "--port", "5123")
    assert "http://127.0.0.1:5123" in output.out
    assert len(started) == 1
    assert f"sqlite:///{database}" in started[0]
    assert started[0][-2:] == ["--port", "5123"]


def test_ctrl_c_says_how_to_go_on(bench: Bench, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rpe2d_bench.cli.session.run_experiment", interrupted)
    output = bench("run", tiny)
    assert output.code == 130
    assert "the same command continues" in output.err


@pytest.mark.parametrize("line", ["run {tiny} --engine local", "plan {tiny}", "work {tiny}", "sync", "report", "status",
                                  "store", "gc", "ls runs", "ui"])  # fmt: skip
def test_a_file_is_no_store(bench: Bench, tiny: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "taken").write_text("a file")
    option = () if line in ("status", "store") else ("--store",)
    for name in ("taken", "taken/below"):
        output = bench(*line.format(tiny=tiny).split(), *option, name)
        refused(output, f"error: the store {name}: ")
        assert "taken is a file; name a folder" in output.err
    assert (tmp_path / "taken").read_text() == "a file"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("run {tiny} --engine local --reports taken", "--reports taken: taken is a file; name a folder"),
     ("run {tiny} --engine local --reports taken/below", "taken is a file; name a folder"),
     ("run {tiny} --engine local --reports beside", "--reports beside/tiny: beside/tiny is a file; name a folder"),
     ("run {tiny} --engine local --reports /proc", "--reports /proc: /proc cannot be written"),
     ("report {tiny} --reports taken", "--reports taken: taken is a file; name a folder"),
     ("sample {tiny} --method ntk --resolution 24 --out taken/a.png", "--out taken: taken is a file; name a folder"),
     ("sample {tiny} --method ntk --resolution 24 --out beside", "--out beside: is a folder; name a file"),
     ("export {tiny} --model rope --out taken/a.safetensors", "--out taken: taken is a file; name a folder"),
     ("show ntk --figure taken/a.png", "--figure taken: taken is a file; name a folder")],
)  # fmt: skip
def test_what_cannot_be_written_at_the_end_is_refused_before_anything_is_computed(
    bench: Bench, tiny: Path, tmp_path: Path, line: str, expected: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "tiny").write_text("a file")
    if "/proc" in line and not Path("/proc").is_dir():
        pytest.skip("a folder that nobody can write is not here")
    before = sorted(tmp_path.rglob("*"))
    refused(bench(*line.format(tiny=tiny).split()), expected)
    assert sorted(tmp_path.rglob("*")) == before


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
    output = bench("run", tiny, "--engine", "local", "--no-mlflow", "--only", "ntk")
    assert output.code == 1
    assert "training diverged" in " ".join(output.out.split())


def test_an_earlier_run_is_reported_by_its_name(bench: Bench, trained: Path, tmp_path: Path) -> None:
    (name,) = {row["run"] for row in map(json.loads, (trained / "records.jsonl").read_text().splitlines())}
    output = bench("report", name, "--store", trained)
    assert output.code == 0
    assert f"reports/{name}/index.html" in output.out
    assert (tmp_path / "reports" / name / "index.html").is_file()


def test_the_latest_run_of_an_experiment_is_reported_by_its_name(bench: Bench, trained: Path, tmp_path: Path) -> None:
    output = bench("report", "tiny", "--store", trained)
    assert output.code == 0
    assert (tmp_path / "reports" / "tiny" / "index.html").is_file()
