"""Mistakes in `search:`: one sentence with file, line and a suggestion; and what the commands say of a good one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.planned import planned
from helpers.refused import refused
from helpers.tiny_experiment import TINY
from typer.testing import CliRunner

from rpe2d_bench.cli import app
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.load import load_experiment

SEARCH = """\
search:
  trials: 3
  resolutions: [16, 24]
  num_samples: 12
  models:
    "*": {train.lr: {low: 1.0e-3, high: 1.0e-2, log: true}}
    rpe2d: {encoding.positions.draw: [integer, real]}
  methods:
    ntk: {sampler.shift: {low: 1, high: 3}, frequencies.scale_from: [axis, larger]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "searched.yaml"
    path.write_text(TINY + SEARCH)
    return path


@pytest.mark.parametrize(
    ("written", "instead", "printed"),
    [
        ("    ntk: {sampler", "    ntkk: {sampler", "search names 'ntkk', not one of methods (did you mean 'ntk'?)"),
        ('    "*": {train.lr', "    rop: {train.lr", "did you mean 'rope'?"),
        ("train.lr:", "train.lrr:", "unknown key 'lrr' (did you mean 'lr'?)"),
        ("train.lr:", "trian.lr:", "unknown key 'trian' (did you mean 'train'?)"),
        ("train.lr:", "train.lr.peak:", "lr: input should be a valid number"),
        ("low: 1.0e-3", "low: -1.0e-3", "must be above 0 where log is true"),
        ("log: true", "logg: true", "what is tried is a range"),
        ("{low: 1, high: 3}", "{low: 3, high: 1}", "low: 3 must be below high: 1"),
        ("{low: 1, high: 3}", "2.5", "what is tried is a range"),
        ("[axis, larger]", "[axis]", "a list of two values or more"),
        ("[axis, larger]", "[axis, biggest]", "biggest"),
        ("frequencies.scale_from", "frequencies.scal_from", "has no option 'scal_from' (did you mean 'scale_from'?)"),
        ("sampler.shift", "sampler.shft", "unknown key 'shft' (did you mean 'shift'?)"),
        ("sampler.shift: {low: 1, high: 3}", "sampler.kind: [euler, oiler]", "did you mean 'euler'?"),
        ("sampler.shift: {low: 1, high: 3}", "model: [rope, rpe2d]", "a search cannot choose it"),
        ("encoding.positions.draw: [integer, real]", "encoding.positions.max_grid: [[8, 8], [2, 2]]", "max_grid 2x2"),
        ("low: 1.0e-3, high: 1.0e-2, log: true", "low: 0, high: 1", "lr"),
        ("{low: 1, high: 3}", "{low: 1.5, high: 3, integer: true}", "the ends of whole numbers are whole numbers"),
        ("trials: 3", "trials: 1", "search.trials"),
        ("trials: 3", "trials: 3\n  algorithm: grid", "search.algorithm"),
        ("trials: 3", "trails: 3", "did you mean 'trials'?"),
        ("resolutions: [16, 24]\n  num", "resolutions: [16, 26]\n  num", "26 is not a multiple of the patch size 4"),
        ("resolutions: [16, 24]\n  num", "resolutions: [16, 40]\n  num", "max_grid 8x8 is smaller"),
        ("metrics: [kid, accuracy]", "metrics: [kid, accuracy]\n  split: validation", "write split: test"),
    ],
)
def test_mistakes_are_named_with_their_place(file: Path, written: str, instead: str, printed: str) -> None:
    message, line = refused(file, written, instead)
    assert printed in message
    changed = file.read_text()
    start = changed[: changed.index(instead)].count("\n") + 1
    assert start <= line <= start + instead.count("\n"), f"{line}: {changed.splitlines()[line - 1]}"


def test_a_search_for_nothing_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + "search: {trials: 3, resolutions: [16]}\n")
    with pytest.raises(UserError, match="search tries nothing"):
        load_experiment(path)


def test_without_optuna_the_file_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rpe2d_bench.resolve import search as validate

    monkeypatch.setattr(validate, "find_spec", lambda name: None)
    assert load_experiment(file).search is not None  # random draws need nothing
    with pytest.raises(UserError, match=r"search.algorithm=optuna: optuna is not installed; pip install .*\[search\]"):
        load_experiment(file, ["search.algorithm=optuna"])


def test_asha_needs_ray(file: Path, tmp_path: Path) -> None:
    from rpe2d_bench.runner.search import search
    from rpe2d_bench.storage.store import Store

    experiment = load_experiment(file, ["search.scheduler=asha"])
    with pytest.raises(UserError, match="asha needs Ray Tune"):
        search(experiment, Store(tmp_path / "runs"), engine="local")


def test_validate_and_plan_say_what_a_search_will_do(file: Path, tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["validate", str(file)]).output
    assert "after a search of 3 trials an entry" in printed
    arguments = ["plan", str(file), "--store", str(tmp_path / "runs")]
    shown = CliRunner().invoke(app, arguments).output
    assert "9 trials, 0 known; 3 for each of 2 models and 1 methods" in shown
    assert "TFLOP" in shown or "GFLOP" in shown
    made = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)["search"]
    assert made["finished"] is False
    assert made["cost_of_the_rest"]["train_flops"] > 0
    assert not (tmp_path / "runs" / "stages").exists()  # nothing ran


def test_only_leaves_the_other_entries_out_without_a_complaint(file: Path) -> None:
    assert set(load_experiment(file, only=["ntk"]).models) == {"rope"}


def test_sampling_before_the_search_says_so(file: Path, tmp_path: Path) -> None:
    from rpe2d_bench.cli.sampling import sample_method

    with pytest.raises(UserError, match=r"the search of .* has not ended"):
        sample_method(file, (), "ntk", "16", tmp_path / "x.png", 2, None, tmp_path / "runs")


def test_an_experiment_without_a_search_keeps_its_run(tiny: Path, file: Path) -> None:

    plain, searched = planned(tiny), planned(file)
    assert "search" not in plain.experiment.model_dump(exclude_defaults=True)
    assert plain.run != searched.run
    assert [trial.stage.key for trial in plain.trials] == [trial.stage.key for trial in searched.trials]
    assert planned(file, "search.trials=4").run != searched.run
